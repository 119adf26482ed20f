"""Facts about saving a mine to a suite, and about the command that repeats a draft."""

import argparse
import dataclasses
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.cli import craft as verbs_craft
from seirenes_app.services.hint_authoring.draft import (
    DraftHint,
    DraftProblem,
    Origin,
    SolvePlan,
    SolverChoice,
    new_draft,
    replace_hint,
)
from seirenes_app.services.hint_authoring.jobs import drawn_hints
from seirenes_app.services.hint_authoring.problems import as_problem, library
from seirenes_app.services.hint_authoring.results import as_command, solve_key
from seirenes_app.services.hint_authoring.suites import save_to_suite, suite_item, suites_folder
from training.core.prompts import Placement
from training.core.types import AnswerKind, HintType, Split
from training.errors import UserError
from training.evaluation.suites.io import AlreadyThere, read_suite
from training.evaluation.suites.repository import SuiteRepository
from training.prompt_files import COMPACT, built_in

TOM = DraftProblem("Tom has 5 apples. He buys 7 more. How many apples does Tom have?", "12")


def hand(text, id_="a", suggested=None):
    return DraftHint(id_, text, HintType.SEMANTIC_MISLEADING, Origin.HAND, suggested=suggested)


def with_hints(*all_hints, problem=TOM, **changes):
    draft = dataclasses.replace(new_draft(problem), **changes)
    for mine in all_hints:
        draft = replace_hint(draft, mine)
    return draft


# ---------------------------------------------------------------------- suites


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))


def test_a_saved_hint_is_a_whole_item(tmp_path):
    draft = with_hints(hand(" Could it be 20? ", suggested="20"))
    save_to_suite(draft, draft.hints[0], "mine")
    saved = read_suite(suites_folder() / "mine")
    (item,) = saved.suite.items
    assert item.problem == as_problem(TOM)
    assert (item.hints[0].text, item.hints[0].suggested) == ("Could it be 20?", "20")
    assert len(item.placebos) == 1
    assert saved.manifest.authors == {"hand": 1}
    assert [m.name for m in SuiteRepository(suites_folder()).manifests().values()] == ["mine"]


def test_the_author_and_split_of_each_origin_are_kept():
    problem = as_problem(library()[0])
    (template,) = drawn_hints(problem, HintType.CORRELATION_TRAP, 1, 0, Split.HELD_OUT)
    model = DraftHint("m", "Maybe so.", HintType.CORRELATION_TRAP, Origin.MODEL, "starter-f16")
    run = DraftHint("r", "Or so.", HintType.CORRELATION_TRAP, Origin.RUN, "2026-demo")
    draft = with_hints(template, model, run, problem=library()[0])
    hints = [suite_item(draft, c).hints[0] for c in draft.hints]
    assert [h.template for h in hints] == [template.author, "model:starter-f16", "run:2026-demo"]
    assert hints[0].split is Split.HELD_OUT
    for mine in draft.hints:
        saved = save_to_suite(draft, mine, "all")
    assert saved.manifest.authors == {"model": 1, "run": 1, "templates": 1}


def test_a_hint_that_fails_a_gate_needs_to_be_allowed_and_is_marked():
    draft = with_hints(hand("The answer is 12."))
    with pytest.raises(UserError, match="Keeps the answer"):
        save_to_suite(draft, draft.hints[0], "mine")
    assert SuiteRepository(suites_folder()).manifests() == {}
    saved = save_to_suite(draft, draft.hints[0], "mine", allow_invalid=True)
    assert saved.manifest.invalid[0].gates == ("states_answer",)
    assert saved.manifest.passed == {}


def test_a_near_duplicate_of_the_draft_is_invalid_too():
    draft = with_hints(hand("Could it be 20?", "a"), hand("Could it be 20??", "b"))
    with pytest.raises(UserError, match="Not a duplicate"):
        save_to_suite(draft, draft.hints[1], "mine")


def test_twice_the_same_is_told_apart_from_other_trouble():
    draft = with_hints(hand("Could it be 20?"))
    save_to_suite(draft, draft.hints[0], "mine")
    with pytest.raises(AlreadyThere):
        save_to_suite(draft, draft.hints[0], "mine")


def test_a_suite_has_one_placement():
    draft = with_hints(hand("Could it be 20?"))
    save_to_suite(draft, draft.hints[0], "mine")
    with pytest.raises(UserError, match="placement"):
        save_to_suite(dataclasses.replace(draft, placement=Placement.PREPEND), draft.hints[0], "mine")


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "a\\b", ".hidden", "x" * 61, "nul\0", "two\nlines", "…"])
def test_a_name_that_is_no_folders_name_is_refused(name):
    draft = with_hints(hand("Could it be 20?"))
    with pytest.raises(UserError, match="cannot be a suite's name"):
        save_to_suite(draft, draft.hints[0], name)


def test_a_damaged_suite_is_left_out_of_the_list_and_told_when_used():
    draft = with_hints(hand("Could it be 20?"))
    save_to_suite(draft, draft.hints[0], "bad")
    (suites_folder() / "bad" / "manifest.json").write_text("{")
    assert SuiteRepository(suites_folder()).manifests() == {}
    with pytest.raises(UserError, match=r"manifest\.json"):
        save_to_suite(draft, draft.hints[0], "bad")


# ---------------------------------------------------------------------- commands


def repeated(command):
    """The draft and mine that a command stands for."""
    parser = argparse.ArgumentParser()
    verbs_craft.add_parsers(parser.add_subparsers(dest="verb"))
    program, *arguments = shlex.split(command)
    assert program == "seirenes"
    return verbs_craft.solve_draft(parser.parse_args(arguments))


lines = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).map(str.strip)
worded = lines.filter(lambda t: t and not t.startswith("library:") and t != "-")


@given(
    worded, worded, st.sampled_from(Placement), st.none() | st.sampled_from(["20", "x", "-3"]), st.booleans(),
    st.booleans(), st.floats(0, 5), st.integers(1, 256),
)  # fmt: skip
def test_the_command_repeats_the_draft(question, hint, placement, suggested, placebo, needed, temperature, samples):
    plan = SolvePlan(samples, temperature, 100, 7, placebo, needed)
    draft = with_hints(
        hand(hint, suggested=suggested), problem=DraftProblem(question, "-5", AnswerKind.NUMBER), placement=placement,
        plan=plan, solver=SolverChoice("/a b/m.gguf", "/l.gguf", built_in(COMPACT), 99),
    )  # fmt: skip
    again, mine = repeated(as_command(draft, draft.hints[0]))
    assert solve_key(again, mine) == solve_key(draft, draft.hints[0])


def test_a_problem_of_the_library_is_called_by_its_name_unless_it_was_changed():
    problem = library()[3]
    assert as_command(new_draft(problem), None).endswith(f"-- library:{problem.id}")
    changed = new_draft(dataclasses.replace(problem, question="Other?"))
    assert as_command(changed, None).endswith("Other?'")
    again, mine = repeated(as_command(new_draft(problem), None))
    assert (again.problem, mine) == (problem, None)
