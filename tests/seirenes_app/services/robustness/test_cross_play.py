import html
import json
from dataclasses import replace

import pytest
from helpers.evals import fill, small_plan

from seirenes_app.services.report.document import report_of
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.result_source import ResultSource
from training.core.types import Condition
from training.evaluation.plan import SuiteRef, Target, Writing, plan_to_json

NAMES = ("r@0", "r@1", "r@2", "r@3")


def played(folder, rule, problems=24, reasoners=NAMES, without=(Condition.CLEAN,)):
    """A cross-play of checkpoints with the hints of four, which are the frozen suite's, said to be theirs."""
    base = small_plan(problems, reasoners, chunk_items=12)
    others = tuple(
        Target(n, f"/models/{n}", run="r", step=int(n[2:]), fingerprint="f") for n in NAMES if n not in reasoners
    )
    base = replace(
        base, targets=tuple(replace(t, run="r", step=int(t.name[2:]), fingerprint="f") for t in base.targets)
    )
    (ref,) = base.suites
    suites = tuple(
        SuiteRef(f"by {w}", ref.source, ref.digest, problems, conditions=(*without[: None if not i else 0], Condition.HINTED))
        for i, w in enumerate(NAMES)
    )  # fmt: skip
    paths = fill(folder, replace(base, suites=suites), rule)
    written = tuple(replace(s, writer=w) for s, w in zip(suites, NAMES, strict=True))
    paths.plan.write_text(plan_to_json(replace(base, suites=written, writing=Writing(), writers=others)))
    return paths


def arms_race(key, problem):
    reasoner, writer = NAMES.index(key.target), NAMES.index(key.suite.removeprefix("by "))
    good = key.condition is Condition.CLEAN or writer <= reasoner or key.item % 2 == 0
    return problem.answer if good else "99999"


def test_an_arms_race_is_told_as_one(tmp_path):
    paths = played(tmp_path, arms_race)
    book = ResultSource(paths.root)
    assert book.tracks == ()
    found = book.crossplay()
    assert [[c.value.mean for c in row] for row in found.cells] == [
        [1.0, 0.5, 0.5, 0.5], [1.0, 1.0, 0.5, 0.5], [1.0, 1.0, 1.0, 0.5], [1.0, 1.0, 1.0, 1.0]
    ]  # fmt: skip
    assert [[c.own for c in row] for row in found.cells] == [[i == j for j in range(4)] for i in range(4)]
    assert [m.mean for m in found.row_means] == pytest.approx([0.625, 0.75, 0.875, 1.0])
    text = " ".join(found.sentences)
    assert "Later Reasoners are better" in text
    assert "Later hints are harder" in text
    assert "as in an arms race" in text
    assert "old defences are forgotten" not in text
    traces = book.traces(found.cells[0][1].traces)
    assert {t.target for t in traces} == {"r@0"}
    assert sum(t.outcome == "right" for t in traces) / len(traces) == 0.5


def test_needed_text_stands_beside_the_clean_accuracy_where_it_was_asked(tmp_path):
    def deaf(key, problem):
        return "99999" if key.condition is Condition.NEEDED else problem.answer

    asked = played(tmp_path / "a", deaf, problems=12, without=(Condition.CLEAN, Condition.NEEDED))
    found = ResultSource(asked.root).crossplay()
    assert [name for name, _ in found.beside] == ["clean", "needed"]
    assert [(c.mean, n.mean) for c, n in zip(found.clean, found.needed, strict=True)] == [(1.0, 0.0)] * 4
    assert sum(row[1] == "needed" for row in found.table.rows) == 4
    page = report_html(report_of([asked.root]))
    assert '<th class="n">needed</th>' in page
    bare = ResultSource(played(tmp_path / "b", deaf, problems=12).root).crossplay()
    assert [name for name, _ in bare.beside] == ["clean"]


def test_hints_of_checkpoints_that_solve_nothing_are_named_too(tmp_path):
    paths = played(tmp_path, lambda key, problem: problem.answer, reasoners=NAMES[:2])
    found = ResultSource(paths.root).crossplay()
    assert (found.reasoners, found.writers) == (("step 0", "step 1"), ("step 0", "step 1", "step 2", "step 3"))
    assert dict(report_of([paths.root]).sources[0].facts).keys() >= {"model r@0", "model r@3"}


def test_forgetting_is_told(tmp_path):
    def rule(key, problem):
        bad = key.condition is Condition.HINTED and (key.target, key.suite) == ("r@3", "by r@0")
        return "99999" if bad else problem.answer

    assert "Old defences are forgotten" in " ".join(ResultSource(played(tmp_path, rule).root).crossplay().sentences)


def test_where_nothing_differs_nothing_is_claimed(tmp_path):
    found = ResultSource(played(tmp_path, lambda key, problem: problem.answer).root).crossplay()
    assert all("no difference" in s for s in map(str.lower, found.sentences[1:]))


def test_the_report_has_the_matrix(tmp_path):
    report = report_of([played(tmp_path, arms_race).root])
    page = report_html(report)
    assert "Reasoner \\ hints of" in page
    for sentence in report.sources[0].matrix.sentences:
        assert sentence in html.unescape(page)
    assert json.loads(report.sources[0].configuration)["suites"]
