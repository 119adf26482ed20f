"""`seirenes`: thin verbs over the lab and the run directory. No arguments opens the window.

Exit codes: 0 done, 1 a bug, 2 a mistake the person can mend, 3 stopped on request.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from training.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    parser = argparse.ArgumentParser(
        prog="seirenes", description="A laboratory for the reasoning robustness of language models."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    app = verbs.add_parser("app", help="open the window (the default)")
    app.add_argument("--smoke-test", action="store_true", help="paint every page offscreen and exit")
    app.add_argument("--screenshots", type=Path, metavar="DIR", help="with --smoke-test: save what was painted")

    demo = verbs.add_parser("demo", help="self-play with the bundled model, start to finish")
    _add_run_options(demo)

    train = verbs.add_parser("train", help="start a run from a config file")
    train.add_argument("config", type=Path, metavar="CONFIG.toml")
    train.add_argument("--detach", action="store_true", help="start it in the background and return")
    _add_run_options(train)

    runs = verbs.add_parser("runs", help="list the runs")
    runs.add_argument("--json", action="store_true")

    stop = verbs.add_parser("stop", help="ask a run to save and stop")
    stop.add_argument("run", help="run id or folder")
    stop.add_argument("--force", action="store_true", help="terminate, then kill, if it does not stop when asked")

    resume = verbs.add_parser("resume", help="take up a stopped or dead run again")
    resume.add_argument("run", help="run id or folder")
    resume.add_argument("--detach", action="store_true")
    resume.add_argument("--json", action="store_true")

    evaluate = verbs.add_parser("eval", help="evaluate a model, or the checkpoints of a run, on the frozen suite")
    evaluate.add_argument("target", help="'starter', a model folder, a run id or a run folder")
    evaluate.add_argument("--step", type=int, help="of a run: this checkpoint (default: the newest)")
    evaluate.add_argument("--problems", type=int, default=500)
    evaluate.add_argument("--seed", type=int, default=2605)
    evaluate.add_argument("--hints-from", metavar="MODEL", help="hints by this model's Adversary")
    evaluate.add_argument("--rows", type=Path, help="also write the raw rows to this JSONL file")
    evaluate.add_argument("--json", action="store_true")

    _add_export(verbs.add_parser("export", help="write a model as a Hugging Face folder, a LoRA adapter or GGUF"))

    doctor = verbs.add_parser("doctor", help="check this machine and installation")
    doctor.add_argument("--json", action="store_true")
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="e.g. update.kl=0.01"
    )
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="the run's folder (default: a new one)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("target", metavar="RUN", help="a run id or folder, 'starter', or a model folder")
    export.add_argument("--step", type=int, help="of a run: this checkpoint (default: the newest sound one)")
    export.add_argument("--to", required=True, choices=["hf", "lora", "gguf", "gguf-lora"])
    export.add_argument("--quantize", choices=["f32", "bf16", "f16", "q8_0", "q4_k_m"], help="for gguf (default: f16)")
    export.add_argument("--out", type=Path, metavar="PATH", help="default: named after the model, in this folder")
    export.add_argument("--force", action="store_true", help="replace what stands at PATH")
    export.add_argument("--json", action="store_true")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb."""
    options = build_parser().parse_args(arguments)
    try:
        if options.verb in (None, "app"):
            return _app(options)
        from seirenes_app import verbs, verbs_export

        room = verbs_export if options.verb == "export" else verbs
        return int(getattr(room, options.verb)(options))
    except UserError as error:
        print(f"seirenes: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nseirenes: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except Exception:  # noqa: BLE001 - the edge of the process: what is left is a bug and is shown whole
        traceback.print_exc()
        return 1


def main_window() -> int:
    """Entry point of the GUI script."""
    return main(["app"])


def _app(options: argparse.Namespace) -> int:
    from seirenes_app.ui.app import run_app

    return run_app(
        smoke_test=getattr(options, "smoke_test", False), screenshot_dir=getattr(options, "screenshots", None)
    )


if __name__ == "__main__":
    sys.exit(main())
