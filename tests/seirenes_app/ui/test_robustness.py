"""Facts about the Robustness page: real runs and evaluations on disk, charted through the page alone."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import csv
import shutil
import sqlite3
from pathlib import Path

import pytest
from helpers.evals import contents
from helpers.robust_runs import evaluate_run, evaluate_runs, write_run
from helpers.robustness_bench import Robustness
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox

from seirenes_app.services.robustness.checkpoint_replay import replay_result
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Basis, ReplayStep, TraceRef
from seirenes_app.store.resources import recorded_run
from seirenes_app.ui.pages.robustness.page import TOTALS_ONLY, View
from seirenes_app.ui.theme import apply_theme
from training.core.answer_reader import READER_VERSION
from training.core.types import Condition, Outcome
from training.evaluation.run_store import run_eval_dir
from training.rollouts.reader import RolloutQuery
from training.runs.config import RunConfig
from training.runs.events import EventKind, EventLog
from training.runs.lock import RunLock
from training.runs.paths import RunPaths, new_run

EVEN = dict.fromkeys(("clean", "hinted", "placebo"), 0.4)
STARTER = Path(__file__).parents[3] / "resources" / "starter"


def press(bench, widget, *keys):
    for key in keys:
        bench.qtbot.keyClick(widget, key)


# ---------------------------------------------------------------------- what is open


def test_without_a_run_the_page_says_how_to_get_one(bench):
    assert bench.page.stack.empty.accessibleName().startswith("No evaluations yet")
    assert not bench.page.header.report.isEnabled()
    assert not bench.page.header.views.isVisible()
    buttons = {b.text(): b for b in bench.page.stack.empty.findChildren(QAbstractButton)}
    with bench.qtbot.waitSignal(bench.page.demoRequested):
        buttons["Start the demo run"].click()
    buttons["Evaluate…"].click()
    bench.wait(lambda: bench.page.dialogs.open_dialog is not None)
    assert bench.page.dialogs.open_dialog.request.models == ("starter",)


def test_the_newest_run_is_charted_by_itself_and_every_chart_says_what_it_shows(bench):
    bench.write()
    bench.wait(bench.is_read)
    assert bench.page.source_menu.button.text() == "r"
    for key, card in bench.page.grid.cards.items():
        told = card.sentence.text() or card.empty.text()
        assert told.endswith("."), key
        assert told in card.accessibleDescription()
        if card.chart is not None:
            assert card.model.table.rows, key
    assert len(bench.draw()) >= 2


def test_the_frozen_suite_and_the_moving_adversary_are_apart_and_labelled(bench):
    bench.open(bench.write())
    moving = bench.page.grid.adversary
    assert not moving.isHidden()
    assert moving.badge.accessibleName() == "Moving Adversary"
    assert "NOT COMPARABLE" in moving.note.text()
    assert not moving.note.isHidden()
    assert {c.key for c in bench.card("accuracy").chart.curves} == {"clean", "hinted", "placebo", "needed"}
    assert all(c.key.startswith("type:") for c in bench.card("types").chart.curves)
    assert all(p.basis is Basis.STEP for c in moving.chart.curves for p in c.points)


def test_an_evaluation_has_no_moving_adversary(bench):
    bench.open(evaluate_run(bench.evaluations))
    assert bench.page.grid.adversary.isHidden() or not bench.page.grid.adversary.isVisible()
    assert "r on frozen2-1-12" in bench.page.track.title


def test_an_evaluation_of_the_recorded_run_knows_its_checkpoints(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    recorded = write_run(tmp_path / "shipped" / "recorded")
    bench = Robustness(qtbot, qapp, tmp_path, recorded)
    bench.open(evaluate_run(bench.evaluations, run="recorded"))
    assert bench.page._shown_run() == recorded
    bench.close()


def test_a_run_without_evaluations_waits_for_them(bench):
    paths = new_run(bench.runs_root, RunConfig(), run_id="young")
    bench.page.open_source(paths.root)
    bench.wait(lambda: bench.page.stack.empty.accessibleName().startswith("No evaluations yet young has no evaluation"))
    assert [b.text() for b in bench.page.stack.empty.findChildren(QAbstractButton)] == ["Evaluate…"]


def test_a_damaged_evaluation_is_named(bench):
    paths = evaluate_run(bench.evaluations)
    paths.rows.write_bytes(b"\x00garbage" * 512)
    bench.page.open_source(paths.root)
    bench.wait(lambda: bench.page.stack.empty.accessibleName().startswith("This cannot be read"))
    assert "rows.db" in bench.page.stack.empty.accessibleName()


def test_another_run_replaces_every_chart(bench):
    first = bench.write("a")
    second = bench.write("b", skills={0: EVEN})
    bench.open(first)
    before = bench.card("accuracy").sentence.text()
    bench.page.open_source(second.root)
    bench.wait(lambda: bench.is_read() and bench.page.track.root.name == "b")
    assert bench.card("accuracy").sentence.text() != before
    assert len(bench.card("accuracy").chart.curves[0].points) == 1
    bench.page.forget(second)
    assert bench.page.root is None
    assert bench.page.source_menu.button.text() == "Choose a run"
    assert bench.page.stack.empty.isVisible()


def test_a_run_that_grows_is_charted_again(bench):
    paths = bench.write()
    bench.open(paths)
    kept = write_run(bench.folder / "later" / "r", skills={step: EVEN for step in (0, 10, 20, 30)})
    shutil.copytree(kept.root, paths.root, dirs_exist_ok=True)
    bench.page.controller.check_for_changes()
    bench.wait(lambda: len(bench.card("accuracy").chart.curves[0].points) == 4)


def test_the_menu_of_runs_opens_below_its_button(bench):
    bench.open(bench.write())
    menu, button = bench.page.source_menu.menu, bench.page.source_menu.button
    button.click()
    assert menu.isVisible()
    assert menu.pos() == button.mapToGlobal(button.rect().bottomLeft())
    menu.close()


def test_progress_and_warnings_move_nothing_under_the_pointer(bench):
    bench.open(bench.write())
    parts = (bench.page.header.views, bench.page.stack, bench.page.header.evaluate)
    before = [part.mapTo(bench.page, QPoint()) for part in parts]
    evaluate_run(bench.evaluations)
    bench.page.evaluations.refresh()
    bench.wait(lambda: bench.page.evaluations.summaries)
    (summary,) = bench.page.evaluations.summaries
    bench.page.evaluation_bar.render_summary(summary)
    bench.page._render_warnings(["A file is damaged."])
    bench.qtbot.wait(30)
    assert bench.page.evaluation_bar.isVisible()
    assert [part.mapTo(bench.page, QPoint()) for part in parts] == before


# ---------------------------------------------------------------------- points


def test_the_rows_behind_a_point_are_reached_by_keys_and_left_by_escape(bench):
    bench.open(bench.write())
    card = bench.hold("accuracy")
    press(bench, card.plot, Qt.Key.Key_Home, Qt.Key.Key_Right)
    assert card.place.text().startswith("step 10")
    press(bench, card.plot, *[Qt.Key.Key_Down] * 3)
    assert card.plot.accessibleDescription().startswith("hinted, all types, step 10: ")
    press(bench, card.plot, Qt.Key.Key_Return)
    panel = bench.page.rows
    bench.wait(lambda: panel.rows is not None)
    assert panel.title.text() == "Hinted  ·  step 10"
    assert panel.model.rowCount() == 48
    assert panel.current.question
    panel.filter.buttons["wrong"].click()
    assert panel.model.rowCount()
    assert Outcome.RIGHT not in {t.outcome for t in panel.model.rows}
    assert panel.texts["Solution"][1].text() == panel.current.completion
    press(bench, panel.list, Qt.Key.Key_Escape)
    assert panel.isHidden()
    assert bench.page.focusWidget() is card.plot


def move_mouse(widget, at):
    """To the widget itself: `qtbot.mouseMove` moves the pointer, which may be over another test's window."""
    none = Qt.MouseButton.NoButton
    event = QMouseEvent(QEvent.Type.MouseMove, QPointF(at), widget.mapToGlobal(QPointF(at)), none, none,
                        Qt.KeyboardModifier.NoModifier)  # fmt: skip
    QApplication.sendEvent(widget, event)


def test_a_click_on_a_point_asks_for_its_rows(bench):
    bench.open(bench.write())
    card = bench.hold("types")

    def click():
        # A card may be laid out anew while the sentences of its neighbours arrive: where the point is now.
        card.plot.move_cursor(20.0)
        at = card.plot.position(0).toPoint()
        move_mouse(card.plot, at)
        bench.qtbot.mouseClick(card.plot, Qt.MouseButton.LeftButton, pos=at)
        return card.plot.current == 0

    bench.wait(click)
    bench.wait(lambda: bench.page.rows.rows is not None)
    assert len({t.hint_type for t in bench.page.rows.model.rows}) == 1


def test_a_training_step_leads_to_its_rollouts(bench):
    paths = bench.write()
    bench.open(paths)
    card = bench.hold("adversary")
    press(bench, card.plot, Qt.Key.Key_End, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Return)
    assert bench.asked == [(RunPaths(paths.root), RolloutQuery(steps=(3, 3), stages=("r3_hinted",)))]


def test_points_of_which_only_totals_are_left_say_so(bench):
    bench.open(bench.write(keep_rows=(0, 20)))
    card = bench.hold("accuracy")
    assert card.legend._hollow_at is not None
    assert card.chart.series[0].hollow == [1]
    press(bench, card.plot, Qt.Key.Key_Home, Qt.Key.Key_Right, Qt.Key.Key_Return)
    assert bench.said[-1] == TOTALS_ONLY


def test_types_of_hints_come_and_go(bench):
    bench.open(bench.write())
    card = bench.card("gap")
    assert {c.key for c in card.chart.curves} == {"hinted", "placebo"}
    card.types.click()
    assert len(card.chart.curves) == 4
    assert bench.card("flips").types.isHidden()


# ---------------------------------------------------------------------- tables and files


def test_the_table_takes_the_chart_s_place_by_key(bench):
    bench.open(bench.write())
    card = bench.hold("gap")
    bench.qtbot.keyClick(card.plot, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    assert card.tabled
    assert card.model.rowCount() == len(card.model.table.rows) > 0
    bench.qtbot.keyClick(card.table, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    assert not card.tabled


@pytest.mark.parametrize("key", ["accuracy", "gap", "flips", "adversary"])
def test_a_chart_leaves_as_picture_and_as_table(bench, key, tmp_path):
    bench.open(bench.write())
    card = bench.card(key)
    for suffix in ("png", "svg", "csv"):
        card.save(tmp_path / f"chart.{suffix}")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "chart.svg").read_text(encoding="utf-8")
    with (tmp_path / "chart.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + len(card.csv_table().rows)
    assert tuple(rows[0]) == card.csv_table().columns


def test_a_chart_that_cannot_be_saved_says_so(bench, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("seirenes_app.ui.charts.card.MessageDialog.open", lambda self: told.append(self))
    bench.open(bench.write())
    bench.card("accuracy").save(tmp_path / "nowhere" / "chart.png")
    bench.card("accuracy").save(tmp_path / "nowhere" / "chart.csv")
    assert len(told) == 2


def test_a_banner_opens_the_report_and_copies_its_path(bench, qapp):
    bench.open(bench.write())
    bench.page.write_report()
    banner = bench.page.report_banner
    bench.wait(banner.isVisible)
    banner.buttons["Copy path"].click()
    assert qapp.clipboard().text() == banner.text.text()
    banner.buttons["Open"].click()
    path = Path(bench.opened[0].toLocalFile())
    assert path.suffix == ".html"
    assert "<html" in path.read_text(encoding="utf-8")
    assert bench.page.header.report.isEnabled()


# ---------------------------------------------------------------------- the other views


def test_comparing_runs_pairs_them_and_refuses_other_suites(bench):
    first, second = bench.write("a"), bench.write("b", salt="x")
    other = bench.write("c", problems=8)
    bench.open(first)
    bench.see(View.COMPARE)
    view = bench.page.compare
    assert view.chosen == (first.root,)
    assert not view.compare.isEnabled()
    view.tick([first.root, second.root, other.root])
    view.compare.click()
    bench.wait(lambda: view.results.isVisible())
    assert "c is left out" in view.refused.text.text()
    assert "hash" in view.refused.text.text()
    assert [c.label.split()[0] for c in view.panels[0].chart.curves] == ["a", "b"]
    # Clean, hinted, placebo and needed, before and after.
    assert view.differences.model.rowCount() == 8
    view.tick([first.root, other.root])
    view.compare.click()
    bench.wait(lambda: not view.results.isVisible())
    assert "fewer than two runs" in view.status.text()


def test_two_runs_without_a_common_suite_are_evaluated_on_one_and_compared(bench):
    first, second = bench.write("a"), bench.write("b", problems=8)
    for paths in (first, second):
        shutil.copytree(STARTER, paths.checkpoints / "step_000020")
    bench.open(first)
    bench.see(View.COMPARE)
    view = bench.page.compare
    view.tick([first.root, second.root])
    assert view.evaluate.text() == "Evaluate both on…"
    view.evaluate.click()
    bench.wait(lambda: bench.page.dialogs.open_dialog is not None)
    dialog = bench.page.dialogs.open_dialog
    assert set(dialog.request.checkpoints) == {(first, 20), (second, 20)}
    dialog.problems.setValue(4)
    dialog.tokens.setValue(16)
    dialog.go.click()
    bench.wait(view.results.isVisible)
    assert view.status.text() in ("Compared: a, b.", "Compared: b, a.")
    assert not view.refused.isVisible()


def test_the_runs_of_one_evaluation_are_compared_by_themselves(bench):
    both = evaluate_runs(bench.evaluations, ("a", "b"))
    log = EventLog(both.events)
    log.write(EventKind.LAUNCH, rows=9, chunks=1, done_chunks=1)
    log.write(EventKind.DONE, outcome="finished")
    log.close()
    bench.page.evaluations.refresh()
    view = bench.page.compare
    bench.wait(lambda: view.list.count())
    view.tick([both.root])
    assert view.compare.isEnabled()
    view.compare.click()
    bench.wait(lambda: view.status.text() == "Compared: a, b.")


def test_the_rows_of_a_compared_run_are_its_own(bench):
    first, second = bench.write("a"), bench.write("b", salt="x")
    bench.open(first)
    bench.see(View.COMPARE)
    bench.page.compare.tick([first.root, second.root])
    bench.page.compare.compare.click()
    bench.wait(lambda: bench.page.compare.panels[0].chart is not None)
    card = bench.page.compare.panels[0]
    bench.wait(lambda: not card.waits)
    card._on_point_requested(1, 20.0)
    bench.wait(lambda: bench.page.rows.rows is not None)
    assert bench.page.rows.rows.ref.root == second.root


def test_a_problem_is_replayed_on_every_checkpoint(bench):
    paths = bench.write()
    for step in (0, 20):
        shutil.copytree(STARTER, paths.checkpoints / f"step_{step:06d}")
    bench.open(paths)
    bench.see(View.REPLAY)
    view = bench.page.replay
    assert not view.start.isEnabled()
    view.choose.click()
    bench.wait(lambda: bench.page.dialogs.open_dialog is not None and bench.page.dialogs.open_dialog.model.rowCount())
    dialog = bench.page.dialogs.open_dialog
    bench.qtbot.keyClicks(dialog.search, dialog.current.family)
    wanted = dialog.current
    dialog.choose.click()
    assert view.question.text() == wanted.question
    view.start.click()
    assert view.progress.cancel.isVisible()
    bench.wait(lambda: not view.busy)
    assert [b.step.step for b in view.card.strip.buttons] == [0, 20]
    assert view.card.sentence.text().startswith("Right at ")
    assert view.pair_card.isVisible()
    assert view.right_name.text() == "against step 20"
    press(bench, view.card.strip.buttons[1], Qt.Key.Key_Left)
    assert view.right_name.text() == "against step 0"
    view.card.save(bench.folder / "replay.svg")
    assert (bench.folder / "replay.svg").stat().st_size > 0


def test_a_checkpoint_without_an_answer_shows_its_error_and_no_alignment(bench):
    view = bench.page.replay
    steps = [ReplayStep(0, Outcome.WRONG, "4 + 3 = 8", "8"), ReplayStep(10, None, missing="It holds no model.")]
    bench.open(bench.write())
    bench.see(View.REPLAY)
    view.render_done(replay_result(steps, 2))
    assert view.card.strip.current == 1
    assert view.error.isVisible()
    assert "no model" in view.error.text.text()
    assert not view.pair.isVisible()
    view.card.strip.choose(0)
    assert view.pair.isVisible()
    assert not view.error.isVisible()
    view.render_done(replay_result(steps[1:], 1))
    assert view.error.isVisible()
    assert not view.left.isVisible()


def test_the_recorded_run_offers_only_the_checkpoints_that_ship_and_a_second_press_cancels_nothing(
    qtbot, qapp, tmp_path, monkeypatch
):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    recorded = write_run(tmp_path / "shipped" / "r")
    shutil.copytree(STARTER, recorded.checkpoints / "step_000020")
    log = EventLog(recorded.events)
    log.write(EventKind.CHECKPOINT, step=10, path=str(recorded.checkpoints / "step_000010"))
    log.close()
    bench = Robustness(qtbot, qapp, tmp_path, recorded)
    bench.open(recorded)
    ref = TraceRef(recorded.root, "step 20", bench.page.track.suite, Condition.HINTED)
    bench.page._take_problem(ResultSource(recorded.root).traces(ref, 1)[0])
    bench.see(View.REPLAY)
    view = bench.page.replay
    view.start.setFocus()
    press(bench, view.start, Qt.Key.Key_Space)
    qtbot.wait(20)
    assert view.busy
    assert bench.page.focusWidget() is not view.progress.cancel
    press(bench, bench.page.focusWidget(), Qt.Key.Key_Space)
    bench.wait(lambda: not view.busy)
    assert view.card.result.complete
    assert [s.step for s in view.card.result.steps] == [20]
    bench.close()


def test_a_run_without_checkpoints_cannot_be_replayed_and_says_why(bench):
    bench.open(bench.write())
    card = bench.hold("accuracy")
    press(bench, card.plot, Qt.Key.Key_End, Qt.Key.Key_Return)
    bench.wait(lambda: bench.page.rows.rows is not None)
    bench.page.rows.replay.click()
    assert bench.page.stack.view is View.REPLAY
    bench.page.replay.start.click()
    bench.wait(lambda: not bench.page.replay.busy)
    assert "no checkpoint" in bench.page.replay.banner.text.text()


def test_views_are_reached_by_keys(bench):
    bench.open(bench.write())
    for key, view in ((Qt.Key.Key_2, View.CROSS_PLAY), (Qt.Key.Key_4, View.COMPARE), (Qt.Key.Key_1, View.CHARTS)):
        bench.qtbot.keyClick(bench.page, key, Qt.KeyboardModifier.AltModifier)
        assert bench.page.stack.view is view
        assert bench.page.header.views.value == view


def test_everything_that_takes_the_keyboard_has_a_name(bench):
    bench.open(bench.write())
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox)
    parts = [w for kind in kinds for w in bench.page.findChildren(kind) if w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert len(parts) > 30
    assert [w for w in parts if not (w.accessibleName() or (isinstance(w, QAbstractButton) and w.text()))] == []
    assert all(c.plot.accessibleName() for c in bench.page.grid.cards.values())


def test_a_change_of_theme_redraws_the_charts(bench, qapp):
    bench.open(bench.write())
    cards = bench.draw()
    bench.page.themed(apply_theme(qapp, "dark"))
    assert all(c.waits for c in cards if c.chart is not None)
    bench.draw()
    bench.page.grab()
    apply_theme(qapp, "light")


# ---------------------------------------------------------------------- grading again


def spoil(paths):
    """As an older reader left it, which read nothing."""
    with sqlite3.connect(run_eval_dir(paths).rows) as db:
        db.execute("UPDATE rows SET outcome = 'unparsable', answer = '', reader = 1 WHERE condition = 'hinted'")
        db.execute("UPDATE chunks SET reader = 1")


def test_rows_of_an_older_reader_are_said_and_graded_again_from_the_page(bench):
    paths = bench.write()
    spoil(paths)
    bench.open(paths)
    page = bench.page
    assert "answer reader 1" in page.warning_text.text()
    assert page.regrade_button.isVisible()
    page.actions_["regrade"].trigger()
    dialog = page.dialogs.open_dialog
    assert "all of them were graded by an older one" in dialog.text.text()
    assert dialog.cancel.hasFocus() or dialog.cancel.isDefault(), "Enter changes nothing"
    dialog.go.click()
    bench.wait(lambda: dialog.cancel.text() == "Close")
    assert "outcomes of" in dialog.text.text()
    assert "unreadable to right" in dialog.table.accessibleName()
    dialog.cancel.click()
    bench.wait(lambda: page.warning.isHidden())


def test_cancelling_before_or_during_grading_changes_nothing(bench):
    paths = bench.write()
    spoil(paths)
    before = contents(run_eval_dir(paths).rows)
    bench.open(paths)
    for started in (False, True):
        bench.page.actions_["regrade"].trigger()
        dialog = bench.page.dialogs.open_dialog
        if started:
            lock = RunLock(paths.lock)
            lock.acquire()
            dialog.go.click()
            bench.wait(lambda dialog=dialog: "in use" in dialog.text.text())
            lock.release()
        dialog.cancel.click()
        bench.wait(lambda: bench.page.dialogs.open_dialog is None)
    assert contents(run_eval_dir(paths).rows) == before


def test_the_recorded_run_is_not_graded_again(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    recorded = RunPaths(recorded_run())
    bench = Robustness(qtbot, qapp, tmp_path, recorded)
    bench.open(recorded)
    assert not bench.page.actions_["regrade"].isEnabled()
    assert bench.page.warning.isHidden()
    bench.close()


def test_a_row_shows_what_was_read_and_from_where(bench):
    paths = bench.write()
    bench.open(paths)
    track = bench.page.track
    bench.page.rows.open(TraceRef(track.root, track.targets[0], track.suite, Condition.CLEAN))
    bench.wait(lambda: bench.page.rows.current is not None)
    _heading, text = bench.page.rows.texts["Answer read"]
    assert text.text().endswith(f"(read from: marker (#### or \\boxed), reader {READER_VERSION})")
