"""`python -m training …`: exactly what the app and the command start. One verb a process."""

import argparse
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from training.errors import exit_code
from training.runs.control import StopSignal
from training.runs.processes import become_process

# Set before torch or transformers are imported: nothing here may wait for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="Self-play training, evaluation, export.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run, or take up again, a run directory")
    run.add_argument("root", type=Path)
    _add_commands_from(run)
    folder = verbs.add_parser("evaluate", help="do, or go on with, the torch targets of an evaluation's folder")
    folder.add_argument("root", type=Path, metavar="DIR")
    _add_commands_from(folder)
    help_ = "become `python -m MODULE DIR` where models of another kind have work left (default: end as stopped)"
    folder.add_argument("--handover", metavar="MODULE", help=help_)
    verbs.add_parser("solve", help="one problem on many checkpoints: a JSON request in, a JSON line a checkpoint out")
    verbs.add_parser("complete", help="a few prompts on one model: a JSON request in, a JSON line a prompt out")
    verbs.add_parser("judge", help="a judge's decisions on hints: a JSON request in, a JSON line a hint out")
    _add_export(verbs.add_parser("export", help="write a model as a Hugging Face folder, a LoRA adapter or GGUF"))
    _add_from_gguf(verbs.add_parser("from-gguf", help="convert a GGUF file to a Hugging Face folder"))
    return parser


def _add_from_gguf(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="FILE.gguf")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], help="default: by the file's types")
    parser.add_argument("--force", action="store_true", help="replace the model at FOLDER")
    parser.add_argument("--ask", metavar="JSON", help="then answer this request with it, as `complete` does")


def _add_commands_from(parser: argparse.ArgumentParser) -> None:
    help_ = "byte of commands.jsonl at which the commands for this process begin (default: its end)"
    parser.add_argument("--commands-from", type=int, metavar="BYTES", help=help_)


def _add_export(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="ROOT", help="a run's folder")
    source.add_argument("--model", metavar="FOLDER", help="'starter' or a model folder, in place of a run")
    parser.add_argument("--step", type=int, help="of a run: this checkpoint (default: the newest sound one)")
    parser.add_argument("--adversary", action="store_true", help="of a run with two models: the Adversary's")
    parser.add_argument("--to", required=True, choices=["hf", "lora", "gguf", "gguf-lora"])
    parser.add_argument("--quantize", choices=["f32", "bf16", "f16", "q8_0", "q4_k_m"], help="for gguf (default: f16)")
    parser.add_argument("--out", type=Path, metavar="PATH", help="default: named after the model, in this folder")
    parser.add_argument("--force", action="store_true", help="replace what stands at PATH")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; 0 finished, 3 stopped on request, 2 an error that the user can fix, 1 a bug."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    options = build_parser().parse_args(arguments)
    return exit_code(lambda: _do(options))


def _do(options: argparse.Namespace) -> int:
    if options.verb == "run":
        return _run(options.root, options.commands_from)
    if options.verb == "evaluate":
        return _evaluate_folder(options.root, options.commands_from, options.handover)
    if options.verb == "complete":
        return _complete()
    if options.verb == "judge":
        return _judge()
    if options.verb == "from-gguf":
        return _from_gguf(options)
    return _solve() if options.verb == "solve" else _export(options)


def _run(root: Path, commands_from: int | None) -> int:
    stop_signal = StopSignal().install()
    from training.runner import run_directory

    return 0 if run_directory(root, commands_from, stop_signal) == "finished" else 3


def _evaluate_folder(root: Path, commands_from: int | None, handover: str | None) -> int:
    stop_signal = StopSignal().install()
    from training.evaluation.torch_evaluator import evaluate_folder

    outcome = evaluate_folder(root, commands_from, stop_signal, last=handover is None)
    if outcome == "handover" and handover is not None:
        become_process([handover], root, commands_from)
    # Why a target failed, and what to do, is in the events.
    return {"finished": 0, "stopped": 3}.get(outcome, 2)


def _solve() -> int:
    from training.checkpoint_replay import replay, request_of

    replay(request_of(sys.stdin.read()), sys.stdout)
    return 0


def _complete() -> int:
    from training.completions import complete, request_of

    complete(request_of(sys.stdin.read()), sys.stdout)
    return 0


def _judge() -> int:
    # A GGUF's temporary folder is removed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from training.judge_requests import answer, request_of

    answer(request_of(sys.stdin.read()), sys.stdout)
    return 0


def _export(options: argparse.Namespace) -> int:
    from training.export.verb import ExportKind, export

    logging.getLogger("gguf").setLevel(logging.WARNING)
    given = {k: v for k, v in vars(options).items() if k not in ("verb", "to")}
    result = export(ExportKind(options.to), **given, progress=_print_progress)
    print(json.dumps(result, ensure_ascii=False))
    return 0


def _from_gguf(options: argparse.Namespace) -> int:
    # A request to end leaves nothing half written: the temporary folder is removed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from training.export.from_gguf import StoredType, convert_gguf

    dtype = StoredType(options.dtype) if options.dtype else None
    source, out = options.source.expanduser().absolute(), options.out.expanduser().absolute()
    result = convert_gguf(source, out, dtype=dtype, force=options.force, report=_print_stage)
    if options.ask:
        from training.completions import answers, request_of

        _print_stage("Asking the folder", 0, 1)
        request = replace(request_of(options.ask), model=str(out))
        result["answers"] = list(answers(request))
    print(json.dumps(result, ensure_ascii=False))
    return 0


def _print_stage(stage: str, done: int, total: int) -> None:
    print(json.dumps({"done": done, "total": total, "stage": stage}), file=sys.stderr, flush=True)


def _print_progress(done: int, total: int) -> None:
    print(json.dumps({"done": done, "total": total}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
