"""A file of hints that a run's archive begins with."""

import itertools

import pytest

from training.archive_file import SeedHint, read_archive, seed_archive, write_archive
from training.core.archive import HintArchive
from training.core.gates import GateLimits
from training.core.hint_language import write_hint
from training.core.problems import problem_stream
from training.core.types import HintType, Split
from training.errors import UserError
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runner import run_directory
from training.runs.config import from_dict, parse_overrides
from training.runs.paths import new_run

SMALL = (
    "steps=2", "data.pool=6", "rollout.questions=2", "rollout.clean=2", "rollout.hints=2", "rollout.hinted=2",
    "rollout.max_solution_tokens=24", "rollout.max_hint_tokens=16", "evaluation.problems=4", "evaluation.every=0",
    "evaluation.max_new_tokens=16", "checkpoint.every=1", "model.threads=1", "curriculum.replay_share=0.5",
)  # fmt: skip


def some_hints(n=12):
    import random

    problems = itertools.islice(problem_stream(99, Split.TRAIN), n)
    return [
        SeedHint(p, t := HintType.INFORMATION_OVERLOAD, write_hint(p, t, random.Random(1)).text, 0.1) for p in problems
    ]


def test_hints_survive_their_file_and_invalid_ones_are_left_out(tmp_path):
    hints = some_hints()
    hints.append(SeedHint(hints[0].problem, hints[0].type, f"The answer: {hints[0].problem.answer}.", 0.0))
    write_archive(tmp_path / "hints.jsonl", hints)
    assert read_archive(tmp_path / "hints.jsonl") == hints
    archive = HintArchive()
    assert seed_archive(archive, hints, GateLimits(), 0) == (12, 1)
    assert len(archive) == 12


def test_a_damaged_file_is_refused_with_its_line(tmp_path):
    write_archive(tmp_path / "hints.jsonl", some_hints(2))
    with (tmp_path / "hints.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(UserError, match="line 3"):
        read_archive(tmp_path / "hints.jsonl")


def test_a_run_replays_the_hints_of_its_file_from_its_first_step(tmp_path):
    hints = some_hints()
    write_archive(tmp_path / "hints.jsonl", hints)
    settings = from_dict(parse_overrides([*SMALL, f"curriculum.archive={tmp_path / 'hints.jsonl'}"]), "test")
    run = new_run(tmp_path / "runs", settings, "seeded")
    assert run_directory(run.root) == "finished"
    reader = RolloutReader(run.rollouts)
    rows = reader.rows(reader.ids(RolloutQuery(stages=("r3_hinted",))))
    replayed = {row["hint"] for row in rows if row["archived"]}
    assert replayed
    assert replayed & {hint.text for hint in hints}
