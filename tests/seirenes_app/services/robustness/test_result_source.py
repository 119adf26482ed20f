import csv
import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.robust_runs import SKILL, evaluate_run, repeat_steps, write_run

from seirenes_app.services.robustness.checkpoint_figures import headline, robustness_claim
from seirenes_app.services.robustness.panels import over_cpu_time
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Basis, Chart, Origin
from training.core.types import Condition, HintType
from training.errors import UserError
from training.runs.config import AdversaryConfig, RunConfig
from training.runs.events import EventKind, EventLog

RECORDED = Path(__file__).parents[4] / "resources" / "recorded"


def curve(panel, key):
    return next(c for c in panel.curves if c.key == key)


def test_the_recorded_run_tells_what_it_shows():
    book = ResultSource(RECORDED)
    (track,) = book.tracks
    assert (track.origin, track.problems, track.steps, track.by_step) == (Origin.RUN, 200, (0, 20, 40, 60, 80), True)
    accuracy = book.panel(track, Chart.ACCURACY)
    claim, hinted, clean, *_, beyond, ungraded = accuracy.sentence.splitlines()
    assert claim == "More robust: accuracy under hints rose, and neither clean, placebo nor needed accuracy fell."
    assert hinted == "Hinted accuracy rose from 74% to 79%: +5 points [+3, +7], p < 0.001, 200 problems."
    assert clean.startswith("Clean accuracy shows no clear change: −2.0 points [−5.0, +1.0], p = 0.12, 200 problems")
    assert "it changed by more than under placebos (+6 points [+3, +8]" in beyond
    assert ungraded == "Not graded at step 80: hinted 0.1% unreadable."
    bases = [p.basis for p in curve(accuracy, "hinted").points]
    assert bases == [Basis.ROWS] * 5
    assert "A placebo is neutral words" in accuracy.note
    assert "the hints do harm beyond it (+30 points" in book.panel(track, Chart.WORST_OF_K).sentence
    moving = book.panel(track, Chart.ADVERSARY)
    assert len(curve(moving, "hinted").points) == 80
    assert moving.note.startswith("NOT COMPARABLE")
    assert [p.chart for p in book.panels(track)] == list(book.charts(track))


def test_every_panel_has_a_sentence_and_its_points_in_the_table():
    book = ResultSource(RECORDED)
    for panel in book.panels(book.tracks[0]):
        assert panel.sentence.endswith(".")
        rows = list(csv.DictReader(io.StringIO(panel.table.csv())))
        for c in panel.curves:
            told = {(r["checkpoint"], float(r["value"])) for r in rows if r["what"] == c.label}
            assert told == {(p.label, p.value.mean) for p in c.points}


def test_the_gap_narrows_and_the_table_of_before_and_after_agrees(tmp_path):
    book = ResultSource(write_run(tmp_path / "r", problems=30).root)
    (track,) = book.tracks
    gap = curve(book.panel(track, Chart.GAP), "hinted")
    assert gap.points[0].value.mean > gap.points[-1].value.mean
    assert "the gap narrowed" in book.panel(track, Chart.GAP).sentence
    table = headline(book, track)
    points = {p.label: p.value for p in curve(book.panel(track, Chart.ACCURACY), "hinted").points}
    line = next(x for x in table.lines if x.key == "hinted")
    assert (line.before, line.after) == (points["step 0"], points["step 20"])
    assert line.difference.mean == pytest.approx(line.after.mean - line.before.mean)
    assert [x.label for x in table.lines][:2] == ["clean", "hinted, all types"]


def test_an_evaluation_of_checkpoints_shows_what_the_run_itself_would(tmp_path):
    book = ResultSource(evaluate_run(tmp_path, problems=20).root)
    (track,) = book.tracks
    assert (track.run, track.steps, track.targets) == ("r", (0, 10, 20), ("r@0", "r@10", "r@20"))
    assert Chart.ADVERSARY not in book.charts(track)
    point = curve(book.panel(track, Chart.ACCURACY), "hinted").points[0]
    traces = book.traces(point.traces, limit=1000)
    right = sum(t.outcome == "right" for t in traces) / len(traces)
    assert right == pytest.approx(point.value.mean)
    assert all(t.question and t.gold and t.hint for t in traces)
    problem, hint, _ = book.question(track, traces[0])
    assert (problem.question, hint.text) == (traces[0].question, traces[0].hint)
    typed = curve(book.panel(track, Chart.ACCURACY), f"type:{HintType.CORRELATION_TRAP}").points[0]
    assert {t.hint_type for t in book.traces(typed.traces)} == {"correlation_trap"}


def test_samples_bring_the_clean_resamples(tmp_path):
    book = ResultSource(evaluate_run(tmp_path, problems=20, samples=4, temperature=1.0).root)
    panel = book.panel(book.tracks[0], Chart.WORST_OF_K)
    assert {c.key for c in panel.curves} == {"hinted", "placebo", "clean"}
    assert "clean resamples" in panel.sentence


def test_models_without_steps_have_places_and_no_trend(tmp_path):
    book = ResultSource(evaluate_run(tmp_path, problems=8, run="").root)
    (track,) = book.tracks
    assert (track.by_step, track.steps) == (False, (0, 1, 2))
    assert headline(book, track) is None
    panel = book.panel(track, Chart.ACCURACY)
    assert panel.x_label == "place"
    assert "rose" not in panel.sentence


def test_conditions_that_were_not_asked_are_said_to_be_missing(tmp_path):
    paths = evaluate_run(tmp_path, problems=8, conditions=(Condition.CLEAN,))
    book = ResultSource(paths.root)
    for chart in (Chart.GAP, Chart.FLIPS, Chart.WORST_OF_K, Chart.DROP_RATE, Chart.FOLLOW_RATE, Chart.GENERALISATION):
        panel = book.panel(book.tracks[0], chart)
        assert panel.curves == ()
        assert "nothing to show" in panel.sentence


def test_rows_that_are_gone_or_damaged_leave_their_totals(tmp_path):
    whole = ResultSource(write_run(tmp_path / "whole").root)
    paths = write_run(tmp_path / "r", keep_rows=(0,))
    # Of version 0.1, see `v01_rows`.
    (paths.root / "evaluations" / "step_000010.jsonl").write_text('{"problem_id": "x"\n')
    book = ResultSource(paths.root)
    (track,) = book.tracks
    assert [m.basis for m in book.measured(track)] == [Basis.ROWS, Basis.COUNTS, Basis.COUNTS]
    (warning,) = book.warnings
    assert "step_000010.jsonl" in warning
    for chart in (Chart.ACCURACY, Chart.WORST_OF_K):
        for mine in book.panel(track, chart).curves:
            theirs = curve(whole.panel(whole.tracks[0], chart), mine.key)
            assert [p.value.mean for p in mine.points] == pytest.approx([p.value.mean for p in theirs.points])
    assert "unpaired" in book.panel(track, Chart.ACCURACY).sentence
    assert curve(book.panel(track, Chart.ACCURACY), "hinted").points[1].traces is None


def test_what_has_no_figures_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="neither a run nor an evaluation"):
        ResultSource(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no evaluation on its frozen suite yet"):
        ResultSource(tmp_path)


def test_a_run_that_goes_on_is_read_on(tmp_path):
    paths = write_run(tmp_path / "r", {0: SKILL[0]})
    book = ResultSource(paths.root)
    assert not book.grown()
    assert len(book.measured(book.tracks[0])) == 1
    metrics = dict(book.source.state.evals[0].metrics)
    writer = EventLog(paths.events)
    suite = book.tracks[0]
    writer.write(EventKind.EVAL, step=30, suite=suite.suite, suite_hash=suite.suite_hash, metrics=metrics)
    writer.close()
    assert book.grown()
    book.refresh()
    assert [m.x for m in book.measured(book.tracks[0])] == [0, 30]


def test_two_suites_of_a_run_are_two_tracks(tmp_path):
    paths = write_run(tmp_path / "r", {0: SKILL[0]})
    state = ResultSource(paths.root).source.state
    writer = EventLog(paths.events)
    writer.write(EventKind.EVAL, step=5, suite="other", suite_hash="f00", metrics=dict(state.evals[0].metrics))
    writer.close()
    book = ResultSource(paths.root)
    assert [t.suite_hash for t in book.tracks] == [state.evals[0].suite_hash, "f00"]
    assert [len(book.measured(t)) for t in book.tracks] == [1, 1]


def test_types_that_training_never_used_show_a_gap(tmp_path):
    config = replace(RunConfig(), adversary=replace(AdversaryConfig(), types="semantic_misleading,correlation_trap"))
    book = ResultSource(write_run(tmp_path / "r", problems=20, config=config).root)
    panel = book.panel(book.tracks[0], Chart.GENERALISATION)
    assert {"types:seen", "types:unseen", "templates:unseen"} == {c.key for c in panel.curves}
    assert "types never in training" in panel.sentence
    assert "held-out forms" in panel.sentence


def test_two_hundred_checkpoints_open_at_once(tmp_path):
    """The bound is generous: it guards against reading rows, which takes seconds. CPU time, as others may be busy."""
    paths = write_run(tmp_path / "r", problems=40)
    repeat_steps(paths, range(30, 2000, 10))
    started = time.process_time()
    book = ResultSource(paths.root)
    panel = book.panel(book.tracks[0], Chart.ACCURACY)
    assert time.process_time() - started < 5
    assert [len(c.points) for c in panel.curves] == [200] * 8
    assert "closed form" in book.panel(book.tracks[0], Chart.GAP).note


C, H, P, N = Condition.CLEAN, Condition.HINTED, Condition.PLACEBO, Condition.NEEDED


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({C: 0.9, H: 0.3, P: 0.8, N: 0.7}, {C: 0.9, H: 0.8, P: 0.8, N: 0.7}, "More robust:"),
        ({C: 0.9, H: 0.3, P: 0.8, N: 0.9}, {C: 0.9, H: 0.8, P: 0.8, N: 0.4}, "ignored more than before"),
        ({C: 0.9, H: 0.3, P: 0.8, N: 0.7}, {C: 0.5, H: 0.8, P: 0.8, N: 0.7}, "This is not robustness alone: clean"),
        ({C: 0.9, H: 0.3, P: 0.8, N: 0.7}, {C: 0.9, H: 0.3, P: 0.8, N: 0.7}, "Not more robust:"),
    ],
)
def test_a_gain_under_hints_is_robustness_only_where_nothing_else_fell(tmp_path, before, after, said):
    book = ResultSource(write_run(tmp_path / "r", {0: before, 20: after}, problems=60).root)
    found = headline(book, book.tracks[0])
    assert said in found.claim
    assert found.claim in book.panel(book.tracks[0], Chart.ACCURACY).sentence


def test_without_needed_text_it_is_open_whether_a_gain_is_robustness(tmp_path):
    before, after = {C: 0.9, H: 0.3, P: 0.8}, {C: 0.9, H: 0.8, P: 0.8}
    book = ResultSource(evaluate_run(tmp_path, {0: before, 20: after}, problems=60, conditions=(C, H, P)).root)
    assert "was not measured" in headline(book, book.tracks[0]).claim


def test_where_a_fall_is_in_doubt_robustness_is_neither_claimed_nor_denied():
    book = ResultSource(RECORDED)
    trend = book.trend(book.tracks[0])
    needed = trend.changes["needed"]
    assert needed.p_value > 0.05
    assert needed.difference.low < 0 < needed.difference.high
    assert robustness_claim(trend).startswith("more robust")
    # Of interval and p one says that it fell, and the other does not.
    below = replace(needed.difference, high=-0.001)
    for doubtful in (replace(needed, p_value=0.03), replace(needed, difference=below)):
        claim = robustness_claim(replace(trend, changes={**trend.changes, "needed": doubtful}))
        assert "is open: accuracy where text after the question is needed may have fallen" in claim


def with_steps(paths, **measured):
    """Give the run a step event a training step up to 20, with these figures."""
    log = EventLog(paths.events)
    for step in range(1, 21):
        log.write(EventKind.STEP, step=step, metrics={"seconds": 9.0, **measured})
    log.close()
    return ResultSource(paths.root)


def test_accuracy_is_charted_over_the_processor_seconds_that_training_took(tmp_path):
    book = with_steps(write_run(tmp_path / "r", steps=0), cpu_seconds=1.5)
    panel = book.panel(book.tracks[0], Chart.ACCURACY)
    timed = over_cpu_time(panel)
    steps = [p.x for p in curve(panel, "clean").points]
    points = curve(timed, "clean").points
    assert [p.x for p in points] == [round(1.5 * step) for step in steps]
    assert [p.label for p in points] == [f"step {step}" for step in steps]
    assert timed.x_label == timed.table.columns[0] == "CPU seconds"
    assert {row[0] for row in timed.table.rows} == {p.x for p in points}
    assert [row[1:] for row in timed.table.rows] == [row[1:] for row in panel.table.rows]


def test_a_run_that_did_not_measure_its_processor_time_stays_over_steps(tmp_path):
    book = with_steps(write_run(tmp_path / "r", steps=0))
    panel = book.panel(book.tracks[0], Chart.ACCURACY)
    assert panel.cpu_s == ()
    assert over_cpu_time(panel) is panel
