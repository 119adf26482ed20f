"""Facts about `seirenes analyse`, on the recorded run and on runs without hints."""

import csv
import io
import json

import pytest

from seirenes_app.cli.main import main
from training.rollouts.database import RolloutWriter
from training.runs.config import RunConfig
from training.runs.paths import new_run


def test_the_recorded_run_as_text(capsys):
    assert main(["analyse", "recorded"]) == 0
    out = capsys.readouterr().out
    for part in ("valid hints for", "wrong solutions", "Forms. Early: step", "share, early → late", "Step "):
        assert part in " ".join(out.split())


def test_the_recorded_run_as_json_and_csv(capsys):
    assert main(["analyse", "recorded", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["hints"] == facts["written"] - facts["refused"]
    assert 0 < len(facts["clusters"]) <= 12
    assert facts["model"] is None or facts["model"]["hints"] > 0
    assert all(isinstance(text, str) for text in facts["summary"])
    for table in ("frequencies", "forms", "features", "replays"):
        assert main(["analyse", "recorded", "--csv", table]) == 0
        rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
        assert all(len(row) == len(rows[0]) for row in rows)
        assert table == "features" or len(rows) > 1


def test_a_run_without_hints_says_so_and_one_without_rollouts_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    paths = new_run(tmp_path / "runs", RunConfig())
    assert main(["analyse", str(paths.root)]) == 2
    assert "no rollouts yet" in capsys.readouterr().err
    RolloutWriter(paths.rollouts).close()
    assert main(["analyse", str(paths.root)]) == 0
    assert "This run has no hints" in capsys.readouterr().out


def test_an_unknown_table_is_refused():
    with pytest.raises(SystemExit):
        main(["analyse", "recorded", "--csv", "everything"])
