"""The command's entry: help, version, and what it imports."""

import importlib
import subprocess
import sys

import pytest

from seirenes_app import version
from seirenes_app.cli.main import VERBS, build_parser


def modules_after(*arguments):
    """Names in `sys.modules` of a process that ran the command."""
    code = (
        "import sys, contextlib, io; from seirenes_app.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_imports_no_verb_and_no_heavy_library():
    loaded = modules_after("--help")
    assert {name for name in loaded if name.startswith("seirenes_app.")} == {
        "seirenes_app.cli", "seirenes_app.cli.main",
    }  # fmt: skip
    assert not loaded & {"rich", "numpy", "sqlite_utils", "pandas", "matplotlib", "torch", "PySide6", "llama_cpp"}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_its_options_and_its_function(verb):
    parser = build_parser(verb)
    function = parser.parse_args.__self__._subparsers._group_actions[0].choices[verb].get_default("run_verb")
    assert function is getattr(importlib.import_module(f"seirenes_app.cli.{VERBS[verb][0]}"), verb)


@pytest.mark.parametrize("verb", sorted({module: verb for verb, (module, _) in VERBS.items()}.values()))
def test_no_verb_imports_pandas_torch_qt_or_matplotlib_for_its_help(verb):
    assert not modules_after(verb, "--help") & {"pandas", "torch", "PySide6", "llama_cpp", "matplotlib"}


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"seirenes {version()}\n"


def test_an_unknown_verb_is_refused_with_the_choices(capsys):
    with pytest.raises(SystemExit) as end:
        build_parser("trian").parse_args(["trian"])
    assert end.value.code == 2
    assert "train" in capsys.readouterr().err
