"""Facts about an import: mapping, filter, duplicates, and a report that accounts for every row."""

import json
import time
from pathlib import Path

import pytest

from training.core.answers import AnswerGrader
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Outcome, Split
from training.errors import UserError
from training.evaluation.problem_sets.importing import (
    ProblemImport,
    preview,
    read_mapping,
    read_problem_set,
    report_fields,
    write_problems,
    write_report,
)
from training.evaluation.problem_sets.sources import open_file
from training.evaluation.problem_sets.types import ColumnMapping, Layout, ReadOptions, Reason, normal_type

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"


def source(tmp_path, *entries, name="set.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries), encoding="utf-8")
    return open_file(path)


def real(name):
    if not (DATA / name).is_file():
        pytest.skip(f"{DATA / name} is not on this machine")
    return open_file(DATA / name)


def test_svamp_is_imported_whole():
    done = read_problem_set(real("svamp.json"))
    report = done.report
    assert (report.layout, report.rows, report.imported, report.rejected, report.duplicates) == (
        Layout.SVAMP,
        1000,
        1000,
        (),
        (),
    )
    assert report.kinds == {"number": 1000}
    assert report.types["Common-Divison"] == 1
    assert done.problems[0].question.endswith("25 dollars on each pack. How much do you have to pay to buy each pack?")
    assert (done.problems[0].id, done.problems[0].answer, done.problems[0].split) == ("chal-1", "51", Split.HELD_OUT)


def test_a_type_is_found_however_it_is_spelled_and_stays_as_it_is():
    for name in ("Common-Division", "common division", "Common-Divison"):
        done = read_problem_set(real("svamp.json"), ReadOptions(types=(name,)))
        assert (done.report.imported, done.report.filtered) == (166, 834)
        assert {p.family for p in done.problems} == {"Common-Division", "Common-Divison"}
    with pytest.raises(UserError, match=r"no problem of type Divination. Types: Subtraction \(531\)"):
        read_problem_set(real("svamp.json"), ReadOptions(types=("Divination",)))


def test_gsm8k_is_imported_whole_with_its_thousands_commas():
    done = read_problem_set(real("gsm8k_test.jsonl"))
    assert (done.report.layout, done.report.rows, done.report.imported, done.report.rejected) == (
        Layout.GSM8K,
        1319,
        1319,
        (),
    )
    assert not any("<<" in p.solution or "," in p.answer for p in done.problems)
    assert "2125" in {p.answer for p in done.problems}
    grader = AnswerGrader()
    assert all(grader.grade(p.solution, p).outcome is Outcome.RIGHT for p in done.problems)


def test_math_is_read_from_its_box_and_checked_in_the_child(tmp_path):
    rows = source(
        tmp_path,
        {
            "problem": "Half?",
            "solution": r"So $\boxed{\frac{1}{2}}$.",
            "subject": "Algebra",
            "unique_id": "test/1.json",
        },
        {"problem": "Sum?", "solution": r"We get \boxed{14}.", "subject": "Algebra", "unique_id": "test/2.json"},
        {"problem": "Name?", "solution": r"\boxed{\frac}", "subject": "Geometry", "unique_id": "test/3.json"},
        {"problem": "None?", "solution": "Left to the reader.", "subject": "Geometry", "unique_id": "test/4.json"},
    )
    with SymbolicCheck() as symbolic:
        done = read_problem_set(rows, symbolic=symbolic)
        first = done.problems[0]
        assert AnswerGrader(symbolic).grade(r"\boxed{0.5}", first).outcome is Outcome.RIGHT
        assert AnswerGrader(symbolic).grade(first.solution, first).outcome is Outcome.RIGHT
    assert done.report.layout is Layout.MATH
    assert [(p.id, p.answer, p.kind, p.family) for p in done.problems] == [
        ("test/1.json", r"\frac{1}{2}", AnswerKind.SYMBOLIC, "Algebra"),
        ("test/2.json", "14", AnswerKind.NUMBER, "Algebra"),
    ]
    assert [r.reason for r in done.report.rejected] == [Reason.UNREADABLE, Reason.NO_ANSWER]


def test_every_row_that_is_left_out_is_told_with_line_reason_and_beginning(tmp_path):
    rows = source(
        tmp_path,
        {"question": "What is 1 + 1?", "answer": "2"},
        "",
        "no json",
        {"answer": "3"},
        {"question": " ", "answer": "3"},
        {"question": "What is 3?"},
        {"question": "What is 4?", "answer": ""},
        {"question": "Why?", "answer": "because"},
        {"question": "Which?", "answer": ["1", "2"]},
        {"question": "Which now?", "answer": "#### 1\n#### 2"},
        {"question": "x" * 20_001, "answer": "1"},
        {"question": "Bad \ud800?", "answer": "1"},
    )
    done = read_problem_set(rows)
    assert [(r.place, r.reason) for r in done.report.rejected] == [
        ("set.jsonl, line 3", Reason.DAMAGED), ("set.jsonl, line 4", Reason.NO_COLUMN), ("set.jsonl, line 5", Reason.NO_QUESTION),
        ("set.jsonl, line 6", Reason.NO_COLUMN), ("set.jsonl, line 7", Reason.NO_ANSWER), ("set.jsonl, line 8", Reason.UNREADABLE),
        ("set.jsonl, line 9", Reason.MANY_ANSWERS), ("set.jsonl, line 10", Reason.MANY_ANSWERS),
        ("set.jsonl, line 11", Reason.TOO_LONG), ("set.jsonl, line 12", Reason.DAMAGED),
    ]  # fmt: skip
    assert done.report.rejected[5].excerpt == "Why? | because"
    assert "more than one answer" in str(done.report.rejected[6])
    assert done.report.reasons()["damaged"] == 2


def test_questions_answered_twice_and_differently_are_both_left_out(tmp_path):
    rows = source(
        tmp_path,
        {"question": "What is  one?", "answer": "1"},
        {"question": "What is half?", "answer": "0.5"},
        {"question": "what is one?", "answer": "2"},
        {"question": "What is half?", "answer": "1/2"},
    )
    done = read_problem_set(rows)
    assert [(r.row, r.reason) for r in done.report.rejected] == [(1, Reason.CONTRADICTION), (3, Reason.CONTRADICTION)]
    assert "row 1 asks the same" in done.report.rejected[1].detail
    assert [(d.row, d.first_row, d.place) for d in done.report.duplicates] == [(4, 2, "set.jsonl, line 4")]
    assert len({p.id for p in done.problems}) == len(done.problems) == 2


def test_ids_are_made_unique(tmp_path):
    rows = source(
        tmp_path,
        *({"id": i, "question": f"What is {n}?", "answer": n} for n, i in enumerate(["a", "a", "a-2", "a", 5])),
    )
    assert [p.id for p in read_problem_set(rows).problems] == ["a", "a-2", "a-2-2", "a-3", "5"]


def test_columns_can_be_named_joined_and_given(tmp_path):
    rows = source(
        tmp_path,
        {"story": "Ann has 2", "ask": "How many?", "gold": "2", "n": 1, "m": 7, "from": "Q"},
        name="mine.jsonl",
    )
    with pytest.raises(UserError, match=r"there is no question.*story, ask, gold, n, m, from"):
        read_problem_set(rows)
    seen = preview(rows)
    assert seen.mapping is None
    assert seen.rows[0].cells["story"] == "Ann has 2"
    assert "--map question=COLUMN" in seen.note
    mapping = read_mapping(
        ["question=ask", "answer=gold", "context=story", "id=n+m", "type==sums", "kind==number", "group=from"]
    )
    (problem,) = read_problem_set(rows, ReadOptions(mapping)).problems
    assert (problem.question, problem.id, problem.family, problem.template) == (
        "Ann has 2. How many?",
        "1-7",
        "sums",
        "Q",
    )
    seen = preview(rows, ReadOptions(mapping))
    assert (seen.layout, seen.rows[0].problem, seen.rows[0].place) == (Layout.MAPPED, problem, "mine.jsonl, line 1")


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["question"], "role=column"),
        (["colour=x"], "one of question, answer"),
        (["question=a"], "lacks the question or the answer"),
    ],
)
def test_a_wrong_mapping_is_told(pairs, words):
    with pytest.raises(UserError, match=words):
        read_mapping(pairs)


def test_a_mapping_to_a_column_that_is_not_there_is_told(tmp_path):
    rows = source(tmp_path, {"question": "What is 1?", "answer": "1"})
    with pytest.raises(
        UserError, match=r"no column 'gold', which was named for the answer\. Columns: question, answer"
    ):
        read_problem_set(rows, ReadOptions(ColumnMapping("question", "gold")))


def test_a_limit_stops_reading_and_says_so(tmp_path):
    rows = source(tmp_path, *({"question": f"What is {n}?", "answer": n} for n in range(9)))
    report = read_problem_set(rows, ReadOptions(limit=3)).report
    assert (report.rows, report.imported, report.limited) == (3, 3, True)


def test_what_is_written_reads_the_same_again(tmp_path):
    rows = source(
        tmp_path,
        {"question": "At what time, 7:30 or 8:00?", "answer": "7:30", "type": "time", "original_id": 4},
        {"question": "Who, Ann or Bob?", "answer": "Ann", "type": "who", "original_id": 5},
        {"question": "How much?", "answer": "1+1\n#### $1,200", "type": "sum", "original_id": "x" * 50},
    )
    done = read_problem_set(rows)
    out = tmp_path / "out.jsonl"
    assert write_problems(done.problems, out) == 3
    again = read_problem_set(open_file(out))
    assert again.problems == done.problems
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "set.jsonl"]


def test_nothing_is_written_where_there_is_nothing_or_no_folder(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    assert write_problems([], out) == 0
    assert out.read_text() == "before"
    with pytest.raises(UserError, match="cannot be written"):
        write_problems([], tmp_path / "none" / "out.jsonl")
    report = read_problem_set(source(tmp_path, {"question": "Why?", "answer": "so"})).report
    write_report(report, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report_fields(report)))


def test_a_large_file_streams(tmp_path):
    path = tmp_path / "large.jsonl"
    with path.open("w") as file:
        for n in range(20_000):
            file.write(json.dumps({"question": f"What is {n} + 1?", "answer": n + 1}) + "\n")
    told = []
    stream = ProblemImport(open_file(path), on_progress=told.append).problems()
    started = time.monotonic()
    assert next(stream).answer == "1"
    assert sum(1 for _ in stream) == 19_999
    assert told[-1] == 20_000
    assert time.monotonic() - started < 60


def test_types_are_compared_without_case_marks_and_known_misspellings():
    assert normal_type("Common-Divison") == normal_type("common_division") == "commondivision"
