"""Facts about training questions from a file: all verifiable, or refused with file and line."""

import json

import pytest

from training.core.types import AnswerKind, Split
from training.errors import UserError
from training.problem_files import anchor_problems, load_problems, run_problems
from training.runs.config import DataConfig, ReasonerConfig, RunConfig


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_problems_are_read_for_training(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        {
            "question": "Ann has 48 eggs and sells half. How many are left?",
            "answer": "48/2=<<48/2=24>>24\n#### 24",
            "family": "halves",
        },
        {"question": "What is 1,000 + 1?", "answer": "1,001"},
    )
    first, second = load_problems(path)
    assert (first.answer, first.family, first.split, first.quantities) == ("24", "halves", Split.TRAIN, (48,))
    assert (second.answer, second.family, second.kind) == ("1001", "imported", AnswerKind.NUMBER)


def test_a_file_in_the_home_folder_may_be_named_as_such(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.jsonl", {"question": "What is 1 + 1?", "answer": "2"})
    config = RunConfig(data=DataConfig(problems="~/a.jsonl"), reasoner=ReasonerConfig(anchor_problems="~/a.jsonl"))
    assert len(run_problems(config.data, tmp_path / "kept.jsonl")) == len(anchor_problems(config)) == 1
    assert not anchor_problems(RunConfig())


@pytest.mark.parametrize(
    ("row", "words"),
    [("no json", "line 2: damaged"), ({"question": "Why?", "answer": "so"}, "line 2: unreadable answer: 'so' is no number"),
     ({"question": "Q?"}, "line 2: missing column"), ({"question": "Q?", "answer": "2x", "kind": "symbolic"}, "symbolic checker")],
)  # fmt: skip
def test_one_row_that_cannot_be_verified_is_refused_by_its_line(tmp_path, row, words):
    path = write(tmp_path / "a.jsonl", {"question": "What is 1?", "answer": 1, "kind": "number"}, row)
    with pytest.raises(UserError, match=words) as told:
        load_problems(path)
    assert str(path) in str(told.value)


def test_missing_and_empty_files_are_told(tmp_path):
    with pytest.raises(UserError, match=r"Check data\.problems"):
        load_problems(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="empty"):
        load_problems(write(tmp_path / "a.jsonl", ""))
