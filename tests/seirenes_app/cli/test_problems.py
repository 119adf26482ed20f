"""Facts about `seirenes problems`: what it prints, writes and refuses."""

import argparse
import json

import pytest

from seirenes_app.cli.problems import add_parsers, problems
from training.errors import UserError
from training.evaluation.problem_sets.hub import PRESETS


@pytest.fixture
def verb(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(dest="verb"))
    return lambda *arguments: problems(parser.parse_args(["problems", *map(str, arguments)]))


@pytest.fixture
def mixed(tmp_path):
    path = tmp_path / "mixed.csv"
    path.write_text(
        "Text;Result;Sort\nWhat is 1 + 1?;2;Common-Divison\nWhat is half?;$\\frac{1}{2}$;Fractions\nWhy?;so it is;Fractions\n"
    )
    return path


MAP = ("--map", "question=Text", "--map", "answer=Result", "--map", "type=Sort")


def test_presets_are_listed_with_answers_k_and_licence(verb, capsys):
    assert verb("presets") == 0
    shown = capsys.readouterr().out
    assert all(key in shown for key in PRESETS)
    assert "CC BY-NC-ND 4.0" in shown
    assert verb("presets", "--json") == 0
    told = {p["key"]: p for p in json.loads(capsys.readouterr().out)}
    assert (told["aime24"]["k"], told["aime24"]["kind"], told["aime24"]["licence"]) == (32, "number", "not stated")
    assert told["svamp"]["mapping"]["context"] == "Body"


def test_a_preview_shows_cells_and_outcome_and_asks_for_a_mapping(verb, mixed, capsys):
    with pytest.raises(UserError, match="--map question=COLUMN"):
        verb("preview", mixed)
    assert "Result: 2" in capsys.readouterr().out
    assert verb("preview", mixed, *MAP, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(r["problem"] or {}).get("kind") for r in told["rows"]] == ["number", "symbolic", None]
    assert told["rows"][2]["rejected"]["reason"] == "unreadable answer"
    assert verb("preview", mixed, *MAP, "--rows", 1) == 0
    assert "answer 2 (number), type Common-Divison" in capsys.readouterr().out


def test_an_import_writes_problems_and_a_report_of_every_row(verb, mixed, tmp_path, capsys):
    out, report = tmp_path / "out.jsonl", tmp_path / "report.json"
    assert verb("import", mixed, *MAP, "-o", out, "--report", report) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["answer"], r["kind"], r["type"]) for r in rows] == [
        ("2", "number", "Common-Divison"), ("\\frac{1}{2}", "symbolic", "Fractions"),
    ]  # fmt: skip
    shown = capsys.readouterr().out
    assert "2 of 3 rows imported" in shown
    assert "mixed.csv, line 4: unreadable answer" in shown
    told = json.loads(report.read_text())
    assert (told["rows"], told["imported"], told["rejected"][0]["row"]) == (3, 2, 3)


def test_a_type_and_a_limit_keep_what_is_wanted(verb, mixed, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert verb("import", mixed, *MAP, "-o", out, "--type", "common division", "--limit", 5, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["imported"], told["filtered"], told["out"]) == (1, 1, str(out))


def test_what_cannot_be_done_is_refused_and_nothing_is_written(verb, mixed, tmp_path):
    out = tmp_path / "out.jsonl"
    for arguments, words in (
        ((mixed, *MAP, "-o", out, "--type", "Geometry"), "no problem of type Geometry"),
        ((mixed, "--map", "question=Sort", "--map", "answer=Text", "-o", out), "No problem of .* could be imported"),
        ((mixed, *MAP, "-o", mixed), "is the file that is read"),
        (("gsm9k", "-o", out), "is no file and no preset"),
    ):
        with pytest.raises(UserError, match=words):
            verb("import", *arguments)
    assert not out.exists()
    with pytest.raises(SystemExit):
        verb("import", mixed, "-o", out, "--limit", "0")


def test_a_file_in_the_data_folder_stands_for_a_preset(verb, tmp_path, capsys):
    folder = tmp_path / "data" / "problem-sets"
    folder.mkdir(parents=True)
    (folder / "gsm8k.jsonl").write_text(json.dumps({"question": "What is 1 + 1?", "answer": "#### 2"}))
    assert verb("import", "gsm8k", "-o", tmp_path / "out.jsonl", "--json") == 0
    assert json.loads(capsys.readouterr().out)["licence"] == "MIT"


def test_list_names_the_files_of_the_data_folder(verb, tmp_path, capsys):
    assert verb("list") == 0
    assert "No problem sets in" in capsys.readouterr().out
    folder = tmp_path / "data" / "problem-sets"
    folder.mkdir(parents=True)
    (folder / "mine.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    assert verb("list", "--json") == 0
    assert [f["name"] for f in json.loads(capsys.readouterr().out)] == ["mine.jsonl"]
