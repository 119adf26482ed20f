import argparse
import io
import json
from pathlib import Path

import pytest
from helpers.html_page import Page
from rich.console import Console

from seirenes_app.cli import report as verbs_report
from seirenes_app.services.report.document import report_of
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.checkpoint_figures import headline
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.run_report import before_after
from training.errors import UserError
from training.runs.paths import RunPaths

RECORDED = Path(__file__).parents[3] / "resources" / "recorded"


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))


def run_verb(*arguments):
    parser = argparse.ArgumentParser()
    verbs_report.add_parsers(parser.add_subparsers())
    return verbs_report.report(parser.parse_args(["report", *map(str, arguments)]))


def test_page_report_and_terminal_show_the_same_figures(monkeypatch, capsys):
    """One code path computes; what the window draws (the panels), the file, JSON and the terminal agree."""
    book = ResultSource(RECORDED)
    (track,) = book.tracks
    panels, table = book.panels(track), headline(book, track)

    page = report_html(report_of([RECORDED]))
    terminal = io.StringIO()
    monkeypatch.setattr(verbs_report, "OUT", Console(file=terminal, width=4000))
    assert run_verb("recorded") == 0
    assert run_verb("recorded", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    (section,) = facts["sources"][0]["tracks"]
    shown, said = Page(page).text, " ".join(terminal.getvalue().split())

    for panel, told in zip(panels, section["panels"], strict=True):
        for text in (shown, said, told["sentence"]):
            assert " ".join(panel.sentence.split()) in " ".join(text.split())
        assert told["table"]["rows"] == json.loads(json.dumps(panel.table.rows))
        for c, curve in zip(panel.curves, told["curves"], strict=True):
            assert [p["value"]["mean"] for p in curve["points"]] == [p.value.mean for p in c.points]
    for line, told in zip(table.lines, section["headline"]["lines"], strict=True):
        assert told["difference"] == {k: getattr(line.difference, k) for k in ("mean", "low", "high")}
        for cell in line.cells():
            assert cell in shown
            assert cell in said
        assert " ".join(line.cells()) in said
    assert [x.label for x in before_after(RunPaths(RECORDED)).lines] == [x.label for x in table.lines]
    for limit in facts["limits"]:
        assert limit in shown
        assert limit in said


def test_the_verb_writes_one_file(tmp_path, capsys):
    target = tmp_path / "report.html"
    assert run_verb("recorded", "-o", target) == 0
    assert target.read_text().startswith("<!doctype html>")
    with pytest.raises(UserError, match="There is no folder"):
        run_verb("recorded", "-o", tmp_path / "no" / "report.html")
    with pytest.raises(UserError, match="No run 'nothing'"):
        run_verb("nothing")
