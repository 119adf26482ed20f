"""Facts about the repository: who imports what, what the wheel holds, which words are used."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked here")
sys.meta_path.insert(0, Block())
import importlib, pkgutil
for package in {packages!r}:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, package + "."):
        if found.name != "training.evaluation.torch_evaluator":  # the torch side of an evaluation, a process entry
            importlib.import_module(found.name)
"""


@pytest.mark.parametrize(
    ("packages", "blocked"),
    [
        (
            ["training.core", "training.runs", "training.rollouts", "training.evaluation"],
            ["torch", "transformers", "PySide6"],
        ),
        (["seirenes_app.services", "seirenes_app.store"], ["torch", "transformers", "PySide6", "llama_cpp"]),
        (["seirenes_app.ui"], ["torch", "transformers", "peft", "llama_cpp"]),
        (["training.engine", "training.starter"], ["PySide6", "seirenes_app"]),
    ],
)
def test_each_floor_loads_without_what_it_must_not_know(packages, blocked):
    code = BLOCK.format(packages=packages, blocked=set(blocked)).replace("training.starter.__main__", "")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-1500:]


def test_the_wheel_holds_both_packages_and_packaging_is_none():
    assert PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["training*", "seirenes_app*"]
    missing = [
        folder
        for top in ("training", "seirenes_app")
        for folder in {file.parent for file in (ROOT / top).rglob("*.py")}
        if not (folder / "__init__.py").exists()
    ]
    assert not missing
    assert not (ROOT / "packaging" / "__init__.py").exists()


def test_torch_is_pinned_exactly():
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_model_text_is_never_evaluated():
    pattern = re.compile(r"(?<![\w.])(?:eval|exec)\(|sympify|parse_expr|pickle\.|shell=True")
    hits = [f"{f}: {line}" for top in ("training", "seirenes_app") for f in (ROOT / top).rglob("*.py")
            for line in f.read_text(encoding="utf-8").splitlines() if pattern.search(line) and "def eval(" not in line]  # fmt: skip
    assert not hits


def test_retired_words_are_gone_from_code_interface_and_readme():
    """One name per concept. Keys on disk keep theirs."""
    pattern = re.compile(
        r"\b(?:distractions?|perturbation (?:text|type)s?|verdicts?|deeds?|desk|stillborn|hush\w*|mourn\w*|bury|anew|in hand|"
        r"telling|told|fate|time[ _]machine|stop ladder|heat[ _]?map|rundir|thinner|tickets?(?= request)|answer_judge)\b",
        re.IGNORECASE,
    )
    files = [f for top in ("training", "seirenes_app") for f in (ROOT / top).rglob("*.py")]
    hits = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in [*files, ROOT / "README.md"]
        for line in file.read_text(encoding="utf-8").splitlines()
        if pattern.search(line)
    ]
    assert not hits
