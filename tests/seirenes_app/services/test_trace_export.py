"""Facts about exported rollouts: columns, order, types, and what is left after a failure."""

import json

import pytest
from helpers.rollout_runs import make_row, make_run
from pyarrow import parquet

from seirenes_app.services import traces as trace_export
from seirenes_app.services.traces import COLUMNS, TraceSource, export_traces
from training.errors import UserError
from training.prompt_files import COMPACT, built_in
from training.rollouts.database import RolloutWriter
from training.rollouts.reader import Cancelled, RolloutQuery, Sort


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_export, "BATCH_ROWS", 10)
    found = TraceSource(make_run(tmp_path))
    yield found
    found.close()


def read(file):
    if file.suffix == ".parquet":
        return parquet.read_table(file).to_pylist()
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_both_formats_hold_the_same_rows_under_trls_names(source, tmp_path, suffix):
    ids = source.ids(RolloutQuery(sort=Sort.ADVANTAGE, descending=True))
    heard = []
    file = tmp_path / f"out{suffix}"
    assert export_traces(source, ids, file, progress=lambda done, total: heard.append((done, total))) == len(ids)
    rows = read(file)
    assert list(rows[0])[:5] == ["step", "prompt", "completion", "reward", "advantage"]
    assert list(rows[0]) == list(COLUMNS)
    assert [r["id"] for r in rows] == list(ids)
    assert all(r["trained"] is True for r in rows)
    for row, kept in zip(rows, source.rows(ids), strict=True):
        assert row == kept | {"prompts": built_in(COMPACT).label}
    assert heard[-1] == (len(ids), len(ids))
    assert heard == sorted(heard)


def test_no_rows_make_an_empty_file_that_can_be_read(source, tmp_path):
    for name in ("none.jsonl", "none.parquet"):
        assert export_traces(source, [], tmp_path / name) == 0
        assert read(tmp_path / name) == []


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_cancelled_export_leaves_the_older_file_and_nothing_else(source, tmp_path, name):
    (tmp_path / "to").mkdir()
    file = tmp_path / "to" / name
    file.write_text("older")
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        export_traces(source, source.ids(RolloutQuery()), file, cancelled=lambda: next(asked))
    assert [f.name for f in file.parent.iterdir()] == [name]
    assert file.read_text() == "older"


def test_bad_targets_are_told_in_words(source, tmp_path):
    with pytest.raises(UserError, match=r"\.jsonl or \.parquet"):
        export_traces(source, [1], tmp_path / "out.csv")
    for name in ("out.jsonl", "out.parquet"):
        with pytest.raises(UserError, match="failed"):
            export_traces(source, [1], tmp_path / "missing" / name)


def test_text_of_any_kind_and_infinite_numbers_come_through(tmp_path, source):
    writer = RolloutWriter(source.paths.rollouts)
    odd = "🙂 \u2028 \x00 \x1b[31m \" ' \\ \n"
    writer.add_step(
        [make_row(9, "r1_clean", 1, None, True, 1.0, 1, completion=odd, reward=float("inf"), advantage=float("-inf"))]
    )
    writer.close()
    for name in ("odd.jsonl", "odd.parquet"):
        export_traces(source, source.ids(RolloutQuery(steps=(9, 9))), tmp_path / name)
        (row,) = read(tmp_path / name)
        assert (row["completion"], row["reward"], row["advantage"]) == (odd, None, None)
