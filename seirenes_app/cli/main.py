"""`seirenes`: the one command. Each room of verbs declares its own; no arguments opens the window.

Exit codes: 0 done, 1 a bug, 2 a mistake the person can mend, 3 stopped on request.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from training.errors import UserError

ROOMS = ("runs", "craft", "explain", "traces", "evaluate", "suite", "problems", "report", "export")
"""Modules of `seirenes_app.cli`. Imported late: the window needs none of them."""


def build_parser() -> argparse.ArgumentParser:
    """All verbs and their options; `run_verb` of the parsed options is the verb's function."""
    parser = argparse.ArgumentParser(
        prog="seirenes", description="A laboratory for the reasoning robustness of language models."
    )
    parser.set_defaults(run_verb=_app, smoke_test=False, screenshots=None)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    app = verbs.add_parser("app", help="open the window (the default)")
    app.add_argument("--smoke-test", action="store_true", help="paint every page offscreen and exit")
    app.add_argument("--screenshots", type=Path, metavar="DIR", help="with --smoke-test: save what was painted")
    for name in ROOMS:
        room, known = importlib.import_module(f"seirenes_app.cli.{name}"), set(verbs.choices)
        room.add_parsers(verbs)
        for verb in set(verbs.choices) - known:
            verbs.choices[verb].set_defaults(run_verb=getattr(room, verb))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    # The window opens without waiting for the rooms that only the terminal needs.
    try:
        if not given or given == ["app"]:
            return _app(argparse.Namespace(smoke_test=False, screenshots=None))
        options = build_parser().parse_args(given)
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
    """Entry point of the GUI script."""
    return main(["app"])


def _app(options: argparse.Namespace) -> int:
    from seirenes_app.ui.app import run_app

    return run_app(smoke_test=options.smoke_test, screenshot_dir=options.screenshots)


if __name__ == "__main__":
    sys.exit(main())
