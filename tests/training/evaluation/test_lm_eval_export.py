"""Facts about the exported task folder: what is in it, that it reads answers as we do, and what it never replaces."""

import dataclasses
import importlib.util
import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from training.core.answers import AnswerGrader, choices
from training.core.prompts import Placement, join_hint, reasoner_messages
from training.core.types import AnswerKind, HintType, Outcome, Problem
from training.errors import UserError
from training.evaluation.lm_eval_export import export_rows, export_tasks, task_slug, utils_source
from training.evaluation.suites.builder import Suite, frozen_suite
from training.prompt_files import NEUTRAL, built_in

SUITE = frozen_suite(9, 4)


class _Loader(yaml.SafeLoader):
    """Reads `!function a.b` as its text."""


_Loader.add_constructor("!function", lambda loader, node: f"!{loader.construct_scalar(node)}")


def load_utils(folder):
    (folder / "utils.py").write_text(utils_source(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported_utils", folder / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def utils(tmp_path_factory):
    return load_utils(tmp_path_factory.mktemp("utils"))


def rows(folder, name):
    return [json.loads(line) for line in (folder / "data" / f"{name}.jsonl").read_text().splitlines()]


def test_there_is_a_task_for_clean_each_type_placebo_and_needed_and_a_group(tmp_path):
    made = export_tasks(SUITE, tmp_path / "t")
    names = ["clean", *map(str, HintType), "placebo", "needed"]
    assert made.tasks == {f"{made.group}_{n}": 36 if n == "placebo" else 9 for n in names}
    group = yaml.safe_load((made.folder / f"{made.group}.yaml").read_text())
    assert group == {"group": made.group, "task": list(made.tasks)}
    for task in made.tasks:
        config = yaml.load((made.folder / f"{task}.yaml").read_text(), _Loader)
        assert config["task"] == task
        assert config["generation_kwargs"] == {"do_sample": False, "max_gen_toks": 128, "until": []}
        assert (made.folder / config["dataset_kwargs"]["file"]).is_file()
        assert "description" not in config
    readme = (made.folder / "README.md").read_text()
    assert f"--tasks {made.group} " in readme
    assert SUITE.digest() in readme


def test_rows_are_what_a_solver_is_shown_with_the_suites_placement(tmp_path):
    made = export_tasks(SUITE, tmp_path / "t", placement=Placement.PREPEND)
    item = SUITE.items[3]
    hint = item.hints[2]
    row = rows(made.folder, hint.type)[3]
    assert row["question"] == join_hint(item.problem.question, hint.text, Placement.PREPEND)
    assert (row["answer"], row["problem_id"]) == (item.problem.answer, item.problem.id)
    assert rows(made.folder, "clean")[3]["question"] == item.problem.question
    assert rows(made.folder, "placebo")[13]["hint"] == item.placebos[1]
    ids = [row["id"] for task in ("clean", *HintType, "placebo", "needed") for row in rows(made.folder, task)]
    assert len(set(ids)) == len(ids)


def test_the_instruct_style_has_our_system_turn(tmp_path):
    made = export_tasks(SUITE, tmp_path / "t", prompts=built_in(NEUTRAL), max_tokens=500)
    config = yaml.load((made.folder / f"{made.group}_clean.yaml").read_text(), _Loader)
    assert config["description"] == reasoner_messages("", built_in(NEUTRAL))[0]["content"]
    assert config["generation_kwargs"]["max_gen_toks"] == 500


def test_symbolic_answers_are_left_out_and_counted(tmp_path):
    problem = dataclasses.replace(SUITE.items[0].problem, id="s", answer="2x", kind=AnswerKind.SYMBOLIC)
    symbolic = dataclasses.replace(SUITE.items[0], problem=problem)
    made = export_tasks(Suite("Mine, too!", (*SUITE.items, symbolic)), tmp_path / "t")
    assert (made.left_out, made.tasks[f"{made.group}_clean"]) == (10, 9)
    assert made.group == "seirenes_mine_too"
    with pytest.raises(UserError, match="symbolic"):
        export_tasks(Suite("s", (symbolic,)), tmp_path / "u")
    assert not (tmp_path / "u").exists()


def test_only_an_earlier_export_is_replaced_and_only_with_force(tmp_path):
    export_tasks(SUITE, tmp_path / "t")
    with pytest.raises(UserError, match="--force"):
        export_tasks(SUITE, tmp_path / "t")
    export_rows(SUITE, tmp_path / "t", placement=Placement.APPEND, manifest="{}", force=True)
    assert sorted(f.name for f in (tmp_path / "t").iterdir()) == [
        "clean.jsonl", "hinted.jsonl", "manifest.json", "needed.jsonl", "placebo.jsonl"
    ]  # fmt: skip
    (tmp_path / "t" / "thesis.odt").write_text("years of work")
    with pytest.raises(UserError, match="thesis"):
        export_tasks(SUITE, tmp_path / "t", force=True)
    with pytest.raises(UserError, match="is a file"):
        export_tasks(SUITE, tmp_path / "t" / "thesis.odt", force=True)
    (tmp_path / "empty").mkdir()
    export_tasks(SUITE, tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "slug"), [("seirenes-1", "seirenes_1"), ("Ärger (2)", "seirenes_rger_2"), ("…", "seirenes_suite")]
)
def test_a_task_has_a_plain_name(name, slug):
    assert task_slug(name) == slug


PIECES = [
    "####",
    " ",
    "\n",
    "\\boxed{",
    "}",
    "{",
    "12",
    "1,200",
    "$",
    "7:45",
    "07:45 pm",
    "Monday",
    ".",
    "1/2",
    "0.5",
    "-3",
]
PIECES += ["−", "apples", "%", "€", "1 1/2", "10/0", "99999", "monday", "x" * 300, ",", ":", "٣"]
GOLDS = [
    ("12", "number"),
    ("1200", "number"),
    ("0.5", "number"),
    ("-3", "number"),
    ("1 1/2", "number"),
    ("7:45", "clock"),
]
GOLDS += [("Monday", "choice")]


@settings(max_examples=400, deadline=None)
@given(
    text=st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=12).map("".join),
    gold=st.sampled_from(GOLDS),
)
@example(text="#### 12 apples", gold=("12", "number"))
@example(text="#### 1/2", gold=("0.5", "number"))
@example(text="\\boxed{7:45} a.m.", gold=("7:45", "clock"))
def test_the_exported_reader_grades_every_answer_as_we_do(utils, text, gold):
    answer, kind = gold
    problem = Problem("p", "f", "How many?", answer, AnswerKind(kind), "")
    ours = AnswerGrader().grade(text, problem).outcome
    doc = {"answer": answer, "kind": kind, "original": "How many?", "choices": list(choices(problem))}
    theirs = utils.grade(text, doc)
    assert (theirs == answer) == (ours is Outcome.RIGHT)
    assert theirs.startswith("[other]") == (ours is Outcome.WRONG)
    assert utils.read_answers([[text]], [doc]) == [[theirs]]
