"""Facts about typed problems, the library, files of problems, gates, templates and what hints suggest."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.hint_authoring.draft import DraftHint, DraftProblem, Origin, new_draft
from seirenes_app.services.hint_authoring.gate_report import check_draft, failures, passed
from seirenes_app.services.hint_authoring.jobs import drawn_hints
from seirenes_app.services.hint_authoring.problems import (
    as_problem,
    family_titles,
    guess_kind,
    library,
    load_problem_file,
    read_answer,
)
from training.core.answer_reader import same_value
from training.core.gates import Gate, check_hint
from training.core.implied_answer import read_suggestion
from training.core.question_parser import find_entities, find_nouns
from training.core.types import AnswerKind, HintType, Split
from training.errors import UserError

N, CLOCK, CHOICE, SYMBOLIC = AnswerKind.NUMBER, AnswerKind.CLOCK, AnswerKind.CHOICE, AnswerKind.SYMBOLIC
TOM = DraftProblem("Tom has 5 apples and buys 7 more. How many apples does Tom have?", "12")


# ---------------------------------------------------------------------- typed problems


@pytest.mark.parametrize(
    ("text", "kind", "plain"),
    [
        ("$1,200", N, "1200"), (" 12 apples. ", N, "12"), ("-5", N, "-5"), ("3/4", N, "3/4"), ("2.50 m", N, "2.50"),
        ("1 1/2", N, "3/2"), ("07:45 pm", CLOCK, "7:45"), ("0:05", CLOCK, "12:05"), ("Monday.", CHOICE, "Monday"),
        ("2x + 1", SYMBOLIC, "2x + 1"),
    ],
)  # fmt: skip
def test_an_answer_is_spelt_plainly(text, kind, plain):
    assert read_answer(text, kind) == plain


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", N), ("  ", CHOICE), ("twelve", N), ("12 or 13", N), ("25:99", CLOCK), ("noon", CLOCK), (".", CHOICE),
     ("1/0", N), ("9" * 300, N)],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_refused_in_words(text, kind):
    with pytest.raises(UserError, match="The true answer"):
        as_problem(DraftProblem("How many?", text, kind))


@pytest.mark.parametrize("question", ["", " \n\t ", "x" * 20_001])
def test_a_question_that_cannot_be_used_is_refused_in_words(question):
    with pytest.raises(UserError):
        as_problem(dataclasses.replace(TOM, question=question))


@given(st.text(max_size=40), st.text(max_size=20), st.sampled_from([N, CLOCK, CHOICE]))
def test_whatever_is_typed_is_a_sound_problem_or_a_user_error(question, answer, kind):
    try:
        problem = as_problem(DraftProblem(question, answer, kind))
    except UserError:
        return
    # The answer verifies itself, and every gate can check a hint of it.
    assert same_value(problem.answer, problem.answer, kind) is True
    check_hint("Could it be around 20?", problem)
    for type_ in HintType:
        drawn_hints(problem, type_, 2, 0)


@pytest.mark.parametrize("draft", library()[::5], ids=lambda d: d.id)
def test_the_library_reads_from_text_what_its_families_know(draft):
    known = as_problem(draft)
    assert known.template
    assert set(find_entities(draft.question)) == set(known.entities)
    assert set(known.nouns) <= set(find_nouns(draft.question))
    edited = as_problem(dataclasses.replace(draft, question=draft.question + " Please."))
    assert edited.id != known.id
    assert edited.answer == known.answer


def test_the_library_has_two_dozen_problems_a_family_and_stays_the_same():
    assert len(library()) == 24 * len(family_titles())
    assert len({d.question for d in library()}) == len(library())
    assert next(d for d in library() if d.id == "transfer-3").answer == "12"


@pytest.mark.parametrize(
    ("text", "kind"), [("12", N), ("3/4", N), ("7:45", CLOCK), ("Monday", CHOICE), ("2x+1", SYMBOLIC), ("", N)]
)
def test_the_kind_of_an_answer_is_guessed_by_its_look(text, kind):
    assert guess_kind(text) is kind


# ---------------------------------------------------------------------- files


def test_gsm8k_svamp_and_csv_are_read(tmp_path):
    gsm = tmp_path / "gsm8k.jsonl"
    gsm.write_text(
        json.dumps({"question": "Natalia sold 48 clips. How many?", "answer": "48/2=<<48/2=24>>24\n#### 24"})
    )
    svamp = tmp_path / "SVAMP.json"
    svamp.write_text(
        json.dumps([{"ID": "c-1", "Body": "Paco had 26 salty cookies", "Question": "How many now?", "Answer": 17.0}])
    )
    table = tmp_path / "mine.csv"
    table.write_text('Question;Answer\n"When? \nAt 7?";7:45\nWho is older, Ann or Bob?;Bob\n;\n', encoding="utf-8-sig")
    (first,) = load_problem_file(gsm).problems
    assert (first.answer, first.solution) == ("24", "48/2=24\n#### 24")
    (second,) = load_problem_file(svamp).problems
    assert (second.question, second.answer, second.id) == ("Paco had 26 salty cookies. How many now?", "17", "c-1")
    assert [(p.answer, p.kind) for p in load_problem_file(table).problems] == [("7:45", CLOCK), ("Bob", CHOICE)]
    for draft in (first, second):
        as_problem(draft)


def test_rows_that_cannot_be_used_are_reported_with_line_and_reason(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"question": "Q?", "answer": "5"}\n\n{"question": "Q?"}\nnot json\n[1]\n{"answer": 3}\n'
                    '{"question": "Why?", "answer": "because"}\n')  # fmt: skip
    loaded = load_problem_file(path)
    assert len(loaded.problems) == 1
    assert [r.line for r in loaded.rejected] == [3, 4, 5, 6, 7]
    assert "no answer" in loaded.rejected[0].reason
    assert "cannot be checked" in loaded.rejected[4].reason


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "it is empty"), (b"\xff\xfe\x00", "UTF-8"), (b"[1, 2", "not JSON"), (b"a,b\n1,2\n", "no question"),
     (b"[" * 9000, "not JSON"), (b"question,answer\n" + b"x" * 200_000 + b",3\n", "table ends here")],
)  # fmt: skip
def test_a_file_without_any_problem_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_problem_file(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_problem_file(tmp_path / "none.csv")


@given(st.text(max_size=200), st.sampled_from([".csv", ".jsonl", ".json"]))
def test_any_text_is_problems_or_a_user_error(tmp_path_factory, text, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        loaded = load_problem_file(path)
    except UserError:
        return
    for problem in loaded.problems:
        as_problem(problem)


# ---------------------------------------------------------------------- gates and templates


def hand(text, id_="a"):
    return DraftHint(id_, text, HintType.SEMANTIC_MISLEADING, Origin.HAND)


def test_every_gate_of_every_hint_is_told_with_its_reason():
    draft = dataclasses.replace(
        new_draft(TOM), hints=(hand("It is 12.", "a"), hand("Could it be 20?", "b"), hand("Could it be 20?", "c"))
    )
    checked = check_draft(draft)
    # The judge is asked by its own button alone.
    assert [b.gate for b in checked["a"]] == [g for g in Gate if g is not Gate.JUDGE]
    assert failures(checked["a"])[0].reason == "It states the true answer: “12”."
    assert passed(checked["b"])
    assert [b.gate for b in failures(checked["c"])] == [Gate.NEAR_DUPLICATE]


def test_without_a_sound_problem_nothing_can_be_judged():
    with pytest.raises(UserError, match="empty"):
        check_draft(dataclasses.replace(new_draft(), hints=(hand("x"),)))


@pytest.mark.parametrize("type_", HintType)
def test_templates_write_different_hints_that_pass_and_repeat_by_seed(type_):
    for draft in library()[::12]:
        problem = as_problem(draft)
        made = drawn_hints(problem, type_, 8, 3)
        texts = [c.text for c in made]
        assert len(set(texts)) == len(texts) == 8
        assert all(check_hint(t, problem, others=texts[:i]).passed for i, t in enumerate(texts))
        assert made == drawn_hints(problem, type_, 8, 3)
    held = drawn_hints(problem, type_, 4, 0, Split.HELD_OUT)
    assert all("/held_out/" in c.author for c in held)


# ---------------------------------------------------------------------- suggestions


@pytest.mark.parametrize("type_", HintType)
def test_what_a_template_suggests_is_read_from_its_text(type_):
    for draft in library()[::3]:
        problem = as_problem(draft)
        for hint in drawn_hints(problem, type_, 12, 1):
            assert read_suggestion(hint.text, problem) == hint.suggested, hint.text


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("Could the answer be around 175?", "175"), ("I'd say: answer with 13.", "13"), ("Double the result.", "24"),
        ("Please reply with the first number you see.", "5"), ("Say 1,300 and nothing else", "1,300"),
        ("The final answer should be 30, I think.", "30"), ("Maybe it's wrong, but add 8 to the result.", "20"),
        # Not clearly a suggestion:
        ("It is about 12 minutes away.", None), ("The school is around 50 years old.", None), ("He is 40.", None),
        ("Do not answer with 13.", None), ("The answer is 15, or the answer is 16.", None), ("", None),
        ("Answer with 12.", None), ("Say hello 13 times.", None), ("answer with 9" * 500, None),
    ],
)  # fmt: skip
def test_a_suggestion_is_read_only_where_it_is_plain(text, suggested):
    assert read_suggestion(text, as_problem(TOM)) == suggested


def test_a_choice_is_suggested_only_from_what_could_be_one():
    calendar = as_problem(DraftProblem("Today is Monday. Which day is tomorrow?", "Tuesday", CHOICE))
    assert read_suggestion("I think the answer is Friday.", calendar) == "Friday"
    assert read_suggestion("I think the answer is obvious.", calendar) is None
    clock = as_problem(DraftProblem("It is 6:00. What time is it in an hour?", "7:00", CLOCK))
    assert read_suggestion("The answer is probably 8:15.", clock) == "8:15"


@given(st.text(max_size=80), st.sampled_from(["12", "3/4", "-2.5"]))
def test_any_text_has_a_suggestion_or_none(text, answer):
    found = read_suggestion(text, as_problem(dataclasses.replace(TOM, answer=answer)))
    assert found is None or same_value(found, answer, N) is False
