import argparse
import html
import io
import json
import re
import sqlite3
from pathlib import Path

from helpers.evals import fill, small_plan
from helpers.html_page import Page
from helpers.robust_runs import evaluate_run, write_run
from rich.console import Console

from seirenes_app.cli import report as verbs_report
from seirenes_app.services.formatting import percent_interval
from seirenes_app.services.report.document import make_report, panel_table, report_of, select_flips, tracks_to_compare
from seirenes_app.services.report.html import report_html, visible_controls
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart
from seirenes_app.services.run_report import before_after, write_report
from training.core.types import Condition
from training.evaluation.run_store import run_eval_dir
from training.runs.events import EventKind, EventLog

RECORDED = Path(__file__).parents[4] / "resources" / "recorded"


def test_points_of_the_charts_are_those_of_the_panels():
    book = ResultSource(RECORDED)
    panel = book.panel(book.tracks[0], Chart.ACCURACY)
    page = report_html(report_of([RECORDED]))
    for curve in panel.curves:
        for p in curve.points:
            assert f"<title>{p.label}: {percent_interval(p.value)}, {p.problems} problems" in page
    # In this run every answer was graded, so the shares of those that were not are left out.
    assert "truncated</title>" not in page


def test_the_file_loads_and_runs_nothing():
    page = report_html(report_of([RECORDED]))
    found = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(found.tags)
    names = {name for name, _ in found.attributes}
    assert not {"src", "href", "srcset", "action"} & names
    assert not [n for n in names if n.startswith("on")]
    assert "default-src 'none'" in page
    # The configuration is text: its comments may name an address.
    shown = re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    assert not re.search(r"url\((?!#)|@import|https?://", shown)
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page
    assert "<h2>Before and after</h2>" in page
    assert "2a775d606d7cf144" in page


def test_the_report_says_what_the_adversary_learned():
    report = report_of([RECORDED])
    page = report_html(report)
    assert report.sources[0].hints.clusters
    for text in ("<h2>What the Adversary learned</h2>", "Hints by forms", "wrong solutions", "<h3>Forms</h3>"):
        assert text in page
    facts = verbs_report.report_facts(report)["sources"][0]["hints"]
    assert len(facts["clusters"]) == len(report.sources[0].hints.clusters)


EVIL = "</pre><script>alert(1)</script>\x1b[31m\x00\u202e=cmd"


def test_text_of_models_and_files_stays_text(tmp_path, monkeypatch):
    paths = write_run(tmp_path / "r&<b>", problems=8)
    with sqlite3.connect(run_eval_dir(paths).rows) as db:
        db.create_function("evil", 1, lambda text: EVIL + text)
        db.execute("UPDATE rows SET completion = evil(completion)")
        db.execute("UPDATE texts SET text = evil(text) WHERE text != ''")
    events = paths.events.read_text().replace('"message": "Finished."', f'"message": {json.dumps(EVIL)}')
    paths.events.write_text(events)
    report = report_of([paths.root])
    assert len(report.sources[0].tracks[0].flips.pairs) == 10
    page = report_html(report)
    assert "<script" not in page
    assert "<b>" not in page.replace("<b>information", "").split("<h1>")[1].split("</h1>")[0]
    assert "\x1b" not in page
    assert "\x00" not in page
    assert html.escape("</pre><script>alert(1)</script>") in page
    terminal = io.StringIO()
    monkeypatch.setattr(verbs_report, "OUT", Console(file=terminal, width=200))
    verbs_report.report(argparse.Namespace(runs=[str(paths.root)], out=None, json=False))
    assert "\x1b" not in terminal.getvalue()
    assert "\u202e" not in terminal.getvalue()


def test_control_characters_become_their_pictures():
    assert visible_controls("a\x00b\x1b<") == "a␀b␛<"


# ---------------------------------------------------------------------- flips


def test_flips_are_chosen_by_a_rule_in_both_directions():
    book = ResultSource(RECORDED)
    found = select_flips(book, book.tracks[0])
    counts = dict(found.counts)
    assert counts == {"won": 48, "lost": 10}, "an unreadable answer is no flip"
    assert [p.kind for p in found.pairs].count("won") == 8
    assert [p.kind for p in found.pairs].count("lost") == 2
    assert "48 of 800 hinted answers turned from wrong to right and 10 from right to wrong" in found.sentence
    assert len({p.left.hint_type for p in found.pairs if p.kind == "won"}) == 4
    for pair in found.pairs:
        assert (pair.left.problem_id, pair.left.index) == (pair.right.problem_id, pair.right.index)
        assert (pair.right.outcome == "right") == (pair.kind == "won") != (pair.left.outcome == "right")
        assert pair.right.question
    assert select_flips(ResultSource(RECORDED), book.tracks[0]) == found


def test_one_checkpoint_shows_what_hints_break(tmp_path):
    from helpers.robust_runs import SKILL

    book = ResultSource(evaluate_run(tmp_path, {0: SKILL[0]}, problems=12).root)
    found = select_flips(book, book.tracks[0])
    assert {p.kind for p in found.pairs} == {"harmful"}
    assert all(p.left.outcome == "right" != p.right.outcome for p in found.pairs)


def test_a_run_without_rows_says_so(tmp_path):
    book = ResultSource(write_run(tmp_path / "r", keep_rows=()).root)
    found = select_flips(book, book.tracks[0])
    assert (found.pairs, "rows of all checkpoints are gone" in found.sentence) == ((), True)
    assert "<h2>Charts</h2>" in report_html(make_report([book]))


# ---------------------------------------------------------------------- limits, several runs, files


def test_limits_say_what_was_not_measured(tmp_path):
    limits = "\n".join(report_of([RECORDED]).limits)
    for words in (
        "One run with one seed (seed 0)", "on one machine", "200 problems", "±7 points near 50%", "±4 near", "held-out forms",
        "greedy", "no clean resamples", "by luck alone",
    ):  # fmt: skip
        assert words in limits
    from training.core.types import Condition

    paths = evaluate_run(tmp_path, problems=6, conditions=(Condition.CLEAN, Condition.HINTED))
    assert "no placebos were asked" in "\n".join(report_of([paths.root]).limits)


def test_an_evaluation_says_its_machine_and_versions(tmp_path):
    paths = evaluate_run(tmp_path, problems=6)
    events = EventLog(paths.events)
    events.write(EventKind.LAUNCH, machine={"cpu": "x", "gpu": None}, versions={"llama-cpp-python": "0.3"})
    events.write(EventKind.LAUNCH, machine={"cpu": "x"}, versions={"torch": "2"})
    events.close()
    report = report_of([paths.root])
    assert dict(report.sources[0].machine) == {"cpu": "x", "gpu": "none"}
    assert dict(report.sources[0].versions) == {"llama-cpp-python": "0.3", "torch": "2"}
    assert any("on one machine" in limit for limit in report.limits)


def test_several_runs_are_compared(tmp_path):
    roots = [write_run(tmp_path / "a", problems=12).root, write_run(tmp_path / "b", problems=12, seed=1).root]
    report = report_of([*roots, write_run(tmp_path / "c", seed=2).root])
    assert [r.name for r in report.comparison.runs] == ["a", "b"]
    assert report.comparison.refused[0].startswith("c is left out")
    page = report_html(report)
    assert "Runs compared" in page
    assert "c is left out" in page


def test_what_is_compared_is_one_track_a_run_on_the_suite_that_most_have(tmp_path):
    a, b, c = (ResultSource(write_run(tmp_path / n, seed=s).root) for n, s in (("a", 2), ("b", 1), ("c", 1)))
    other = ResultSource(evaluate_run(tmp_path / "e", run="b").root)
    assert [t.run for _, t in tracks_to_compare([a, b, other, c])] == ["b", "c", "a"]
    assert make_report([other]).comparison is None
    assert make_report([b, other]).comparison is None


def test_long_tables_are_thinned_and_say_so():
    book = ResultSource(RECORDED)
    table = panel_table(book.panel(book.tracks[0], Chart.ADVERSARY))
    assert len(table.rows) == 21
    assert (table.rows[0][0], table.rows[-1][0]) == ("1", "80")
    assert table.left_out.startswith("59 of 80 lines")


def test_a_run_gets_its_chart_and_report(tmp_path):
    paths = write_run(tmp_path / "r")
    written = write_report(paths)
    assert written["chart"].read_bytes().startswith(b"\x89PNG")
    assert "<h2>Before and after</h2>" in written["report"].read_text()
    labels = [x.label for x in before_after(paths).lines]
    assert labels[:2] == ["clean", "hinted, all types"]
    assert labels[-2:] == ["placebo", "needed"]
    assert before_after(write_run(tmp_path / "one", {0: {"clean": 1, "hinted": 1, "placebo": 1}})) is None


def test_hints_on_several_models_have_a_section(tmp_path):
    def rule(key, problem):
        fooled = key.condition is Condition.HINTED and key.target == "a" and key.item % 4
        return "-7" if fooled else problem.answer

    paths = fill(tmp_path, small_plan(20, ("a", "b<i>")), rule)
    report = report_of([paths.root])
    page = report_html(report)
    assert "<h2>Transfer of hints: frozen2-1-20</h2>" in page
    assert "a: the hints cost +75 points" in page
    assert "b&lt;i&gt;" in page
    assert "b<i>" not in page
    assert len(report.sources[0].transfers) == 1
