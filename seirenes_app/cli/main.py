"""The `seirenes` command: every verb with one line of help. Only the module of the verb that runs is imported. No
arguments open the window. Exit codes: 0 done, 1 a bug, 2 an error that the user can fix, 130 interrupted."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from training.errors import UserError

VERBS = {
    "demo": ("runs", "self-play with the bundled model, start to finish"),
    "train": ("runs", "start a run from a config file or a preset"),
    "estimate": ("runs", "time, memory and disk of a run before it starts"),
    "queue": ("queue", "the runs that wait: list, add, move, remove, start"),
    "presets": ("runs", "list the presets for `train`"),
    "runs": ("runs", "list the runs; rename, tag or group one"),
    "stop": ("runs", "ask a run to save and stop"),
    "resume": ("runs", "resume a run that was stopped or crashed"),
    "doctor": ("runs", "check this machine and the installation"),
    "craft": ("craft", "hints for a problem, drawn from the hint language or by a local model"),
    "solve": ("craft", "solve a problem clean, with a hint, a placebo and needed text"),
    "explain": ("explain", "what a hint does to a model: by sentence, by token, by step"),
    "models": ("models", "the models on this machine and of the hub: list, show, download, remove"),
    "endpoint": ("endpoint", "models behind an address: add, probe, ask, keep a key, what was spent"),
    "traces": ("traces", "list, search, compare and export the rollouts of a run"),
    "analyse": ("analyse", "what the Adversary of a run learned: forms, features that succeed, what is resisted"),
    "audit": ("audit", "sample a run's late hints for labels: the share that should not have passed"),
    "grade": ("grade", "show how a completion is read and graded"),
    "gate": ("grade", "check a hint with the gates"),
    "judge": ("judge", "models as judges of hints: measure, ask, list, keep a server's key"),
    "prompts": ("prompts", "list, show, copy and check prompt profiles"),
    "eval": ("evaluate", "evaluate models or checkpoints on a suite: clean, hinted, placebo, needed"),
    "crossplay": ("evaluate", "Reasoners of checkpoints against hints of checkpoints"),
    "transfer": ("transfer", "what hints of one model do to others: each hint on each model, beyond the placebo"),
    "study": ("study", "variants × seeds with a best response to each: new, run, show, list, stop"),
    "domains": ("domains", "what training on some families of problems did to others, as a matrix"),
    "suite": ("suite", "make, list, show, export and verify suites"),
    "problems": ("problems", "problem sets and families: import, generate, list"),
    "serve": ("serve", "a model behind an OpenAI-compatible server, for other tools"),
    "cluster": ("cluster", "Ray clusters: add, list, keep a token, the jobs on them, logs, stop"),
    "engine": ("engine", "a training server for one GPU or several: start, status, stop; what a large run takes"),
    "redteam": ("redteam", "search for the hints that break a model, and confirm them on other problems"),
    "report": ("report", "figures of runs and evaluations, with their intervals"),
    "export": ("export", "write a model as a Hugging Face folder, a LoRA adapter or GGUF"),
}
"""Verb: (module of `seirenes_app.cli`, help). The module has `add_parsers(verbs)` and a function of the verb's name."""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from seirenes_app import version

        print(f"seirenes {version()}")
        parser.exit()


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser with the options of `verb`, and the help of all others. Options have `run_verb`, the function to
    call."""
    parser = argparse.ArgumentParser(
        prog="seirenes",
        description="A laboratory for the reasoning robustness of language models.",
        epilog="`seirenes VERB --help` shows the options of a verb.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.set_defaults(run_verb=_app, smoke_test=False, screenshots=None)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    app = verbs.add_parser("app", help="open the window (the default)")
    app.add_argument("--smoke-test", action="store_true", help="paint every page offscreen and exit")
    app.add_argument("--screenshots", type=Path, metavar="DIR", help="with --smoke-test: save what was painted")
    if verb in VERBS:
        module = importlib.import_module(f"seirenes_app.cli.{VERBS[verb][0]}")
        module.add_parsers(verbs)
        verbs.choices[verb].description = VERBS[verb][1]
        verbs.choices[verb].set_defaults(run_verb=getattr(module, verb))
    for name, (_, text) in VERBS.items():
        if name not in verbs.choices:
            verbs.add_parser(name, help=text)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = build_parser(next((word for word in given if not word.startswith("-")), None)).parse_args(given)
        run_verb: Callable[[argparse.Namespace], int] = options.run_verb
        return run_verb(options)
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
    return main(["app"])


def _app(options: argparse.Namespace) -> int:
    from seirenes_app.ui.app import run_app

    return run_app(smoke_test=options.smoke_test, screenshot_dir=options.screenshots)


if __name__ == "__main__":
    sys.exit(main())
