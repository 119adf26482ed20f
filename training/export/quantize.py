"""Quantise a GGUF with llama.cpp: `python -m training.export.quantize IN OUT TYPE`.

llama.cpp never runs in a process that has torch, and an abort inside it ends the process it is in: so it runs in a
child, and whoever asked gets either the finished file or a UserError in words. What came out is counted, because
llama.cpp takes another type where a row does not fit: K-quants need rows that 256 divides.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from training.errors import UserError
from training.export.files import new_file, refuse_existing, temporary_for
from training.runs.processes import child_environment


class Quantization(StrEnum):
    """What llama.cpp makes of the matrices."""

    F16 = "f16"
    """Half precision."""
    Q8_0 = "q8_0"
    """8-bit blocks of 32: about half of F16, next to no loss."""
    Q4_K_M = "q4_k_m"
    """4- and 6-bit blocks of 256: under a third of F16, some loss."""


_FTYPES = {Quantization.F16: 1, Quantization.Q8_0: 7, Quantization.Q4_K_M: 15}
"""Numbers of `enum llama_ftype`."""


def quantize_gguf(
    source: Path | str, out: Path | str, quantization: str, *, threads: int = 0, force: bool = False
) -> dict[str, int]:
    """Quantise `source` (F32, F16 or BF16) to the file `out`, in a child process; `threads` 0 takes all cores.

    Returns how many tensors are stored in each type, e.g. {"F32": 17, "Q8_0": 29}. Raises UserError for a source that
    llama.cpp cannot read, for an abort inside it, and for an `out` that exists unless `force`: then `out` is as it was.
    """
    target, kind = Path(out), Quantization(quantization)
    refuse_existing(target, force=force)
    command = [sys.executable, "-m", "training.export.quantize", str(source), str(target), kind]
    command += ["--threads", str(threads), *(["--force"] if force else [])]
    # The child's own words go to a pipe: llama.cpp prints a line a tensor.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", env=child_environment(),
    ) as child:  # fmt: skip
        try:
            output, log = child.communicate()
        finally:
            child.kill()
            temporary_for(target, child.pid).unlink(missing_ok=True)
    if child.returncode == 0:
        counts: dict[str, int] = json.loads(output.splitlines()[-1])
        return counts
    raise UserError(_failure(child.returncode, log, Path(source), kind))


def _failure(code: int, log: str, source: Path, kind: Quantization) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if code == 2 and lines and lines[-1].startswith("error: "):
        return lines[-1].removeprefix("error: ")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    words = next((line for line in reversed(lines) if "error" in line.lower() or "assert" in line.lower()), "")
    return (
        f"llama.cpp ended with {how} while it quantised {source} to {kind}. {words or ' '.join(lines[-1:])} "
        "No file was written: try q8_0 or f16, or export the model again."
    )


def count_types(file: Path) -> dict[str, int]:
    from gguf import GGUFReader

    return dict(sorted(Counter(tensor.tensor_type.name for tensor in GGUFReader(file).tensors).items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """The child: 0 done with the counts as JSON on stdout, 2 a mistake the person can mend."""
    parser = argparse.ArgumentParser(prog="python -m training.export.quantize", description="Quantise a GGUF file.")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("type", type=Quantization, choices=list(Quantization))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--force", action="store_true")
    options = parser.parse_args(arguments)
    try:
        with new_file(options.out, force=options.force) as temporary:
            _quantize_here(options.source, temporary, options.type, options.threads or os.cpu_count() or 1)
            counts = count_types(temporary)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    print(json.dumps(counts))
    return 0


def _quantize_here(source: Path, out: Path, kind: Quantization, threads: int) -> None:
    try:
        with source.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise UserError(f"{source} is no GGUF file. Export the model with --to gguf first.")
    except OSError as error:
        raise UserError(f"{source} could not be read ({error.strerror}). Export the model first.") from error
    import ctypes

    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = _FTYPES[kind], threads
    if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(out), ctypes.byref(params)):
        raise UserError(
            f"llama.cpp could not quantise {source} to {kind}: the file is damaged or cut short, it is quantised "
            "already, or the disk is full. Export it again as f32 or f16."
        )


if __name__ == "__main__":
    sys.exit(main())
