"""Facts about the Craft page: real worker, bundled model, real workspace; keys and clicks where a person uses them."""

import os
import signal
import sqlite3
from dataclasses import replace

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import psutil
import pytest
from helpers.craft_bench import HINT, QUESTION, Craft
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.hint_authoring.draft import Origin, SolverChoice
from seirenes_app.services.hint_authoring.session import open_session
from seirenes_app.store.workspace import CraftStore
from seirenes_app.ui.pages.craft.attribution_views import AttributionTab
from seirenes_app.ui.theme import apply_theme
from training.core.prompts import Sampling
from training.core.types import Condition
from training.prompt_files import NEUTRAL, built_in


@pytest.fixture
def craft(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    bench = Craft(qtbot, qapp, tmp_path)
    yield bench
    bench.close()


# ---------------------------------------------------------------------- making


def test_an_empty_page_invites_and_offers_nothing_that_cannot_be_done(craft):
    craft.page.activate()
    craft.wait(craft.page.problem_card.question.hasFocus)
    assert craft.page.hint_list.empty.isVisible()
    assert not craft.page.solve_card.solve.isEnabled()
    assert not craft.page.hint_list.generate.isEnabled()
    assert craft.solver._client is None


def test_a_typed_problem_is_checked_while_it_is_typed(craft):
    craft.page.problem_card.question.insertPlainText("How many are 2 and 3?")
    craft.qtbot.keyClicks(craft.page.problem_card.answer, "five")
    craft.wait(lambda: "cannot be read as a number" in craft.page.problem_card.note.text())
    assert not craft.page.solve_card.solve.isEnabled()
    craft.page.problem_card.answer.clear()
    craft.qtbot.keyClicks(craft.page.problem_card.answer, "5")
    craft.wait(lambda: craft.controller.usable)
    assert craft.page.problem_card.note.text() == "Answers are compared as numbers."
    assert craft.controller.draft.problem.answer == "5"


def test_drawn_hints_pass_the_gates(craft):
    craft.type_problem()
    craft.page.hint_list.count.setValue(5)
    craft.page.bound["draw"].trigger()
    craft.wait(lambda: len(craft.controller.badges) == 5)
    assert all(c.origin is Origin.TEMPLATE for c in craft.controller.draft.hints)
    card = craft.page.hint_list.cards[craft.controller.selected]
    assert [b.accessibleName() for b in card.gates.badges] == ["Passes the gates"]
    assert "Passes the gates" in card.accessibleName()
    assert "draw 5 hints" in craft.page.header.undo.toolTip()


def test_a_refused_hint_says_which_gate_and_why(craft):
    craft.type_problem()
    card = craft.write("I am sure that the answer is 20.")
    assert [b.accessibleName() for b in card.gates.badges] == ["States the answer"]
    assert card.gates.badges[0].toolTip() == "It states the true answer: “20”."
    assert craft.page.prompt_card.reason.text() == "It states the true answer: “20”."


def test_a_hint_is_edited_in_place_and_removed_by_keys(craft):
    craft.type_problem()
    card = craft.write("One.")
    other = craft.write("Another.")
    craft.qtbot.keyClick(other.editor, Qt.Key.Key_Escape)
    craft.wait(other.hasFocus)
    craft.qtbot.keyClick(other, Qt.Key.Key_Up)
    craft.wait(card.hasFocus)
    craft.qtbot.keyClick(card, Qt.Key.Key_Return)
    craft.wait(card.editor.hasFocus)
    craft.qtbot.keyClicks(card.editor, " Two.")
    assert craft.controller.hint.text == "One. Two."
    craft.qtbot.keyClick(card.editor, Qt.Key.Key_Escape)
    craft.wait(card.hasFocus)
    assert craft.controller.selected == card.hint_id
    craft.qtbot.keyClick(card, Qt.Key.Key_Delete)
    assert [c.text for c in craft.controller.draft.hints] == ["Another."]
    assert craft.controller.selected == other.hint_id
    craft.qtbot.keyClick(craft.page, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert craft.controller.draft.hints[0].text == "One. Two."


def test_undo_in_a_field_is_the_pages_and_names_what_it_takes_back(craft):
    craft.type_problem()
    craft.page.hint_type_card.type.buttons["correlation_trap"].click()
    assert craft.page.bound["undo"].text() == "Undo: choose a type"
    craft.page.problem_card.question.setFocus()
    craft.wait(craft.page.problem_card.question.hasFocus)
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    craft.qtbot.keyClick(craft.page.problem_card.question, Qt.Key.Key_Z, control)
    assert craft.page.hint_type_card.type.value == "semantic_misleading"
    craft.qtbot.keyClick(craft.page.problem_card.question, Qt.Key.Key_Z, control | shift)
    assert craft.page.hint_type_card.type.value == "correlation_trap"


def test_arrow_keys_choose_type_and_placement(craft):
    first = craft.page.hint_type_card.placement.buttons["append"]
    first.setFocus()
    craft.wait(first.hasFocus)
    craft.qtbot.keyClick(first, Qt.Key.Key_Right)
    assert craft.controller.draft.placement == "before_question"


# ---------------------------------------------------------------------- the model writes


def test_a_model_writes_hints_that_stream_in(craft):
    craft.type_problem()
    streamed = []
    craft.controller.generatingChanged.connect(lambda texts: streamed.append(dict(texts) if texts else None))
    craft.page.hint_list.count.setValue(4)
    craft.do("generate")
    assert len(craft.controller.draft.hints) == 4
    assert {c.origin for c in craft.controller.draft.hints} == {Origin.MODEL}
    assert streamed[-1] is None
    assert any(streamed[:-1])
    assert not [card for card in craft.page.hint_list._generating if card.isVisible()]


def test_escape_ends_what_is_going_on_and_keeps_what_is_there(craft):
    craft.type_problem()
    craft.page.plan = craft.page.solve_card.plan
    craft.page.solve_card.plan.samples.setValue(256)
    craft.write()
    craft.page.bound["solve"].trigger()
    craft.wait(lambda: craft.controller.task_status()[1] > 0)
    assert craft.page.task_bar.isVisible()
    craft.qtbot.keyClick(craft.page, Qt.Key.Key_Escape)
    craft.wait(lambda: not craft.controller.task)
    assert craft.page.task_bar.isHidden()
    assert craft.result().cancelled
    assert "Cancelled" in craft.page.solve_card.summary.text()
    assert not craft.problems


# ---------------------------------------------------------------------- solving and attribution


def test_solving_shows_bars_words_traces_and_is_kept_over_a_crash(craft, qtbot, qapp):
    craft.type_problem()
    craft.write()
    craft.do("solve")
    result = craft.result()
    assert result.complete
    assert set(result.conditions) == {Condition.CLEAN, Condition.HINTED, Condition.PLACEBO}
    assert [rate.done for rate in craft.page.solve_card.bars.rates] == [4, 4, 4]
    assert "right of 4" in craft.page.solve_card.bars.accessibleName()
    assert "hint" in craft.page.solve_card.summary.text()
    craft.wait(lambda: craft.page.attribution.traces.view.rows)
    assert len(craft.page.hint_list.cards[craft.controller.selected].bars.rates) == 3
    craft.wait(lambda: not craft.controller.session.unsaved and not craft.controller._pending_saves)
    assert craft.page.header.saved.text() == "Saved"
    craft.crash()
    again = Craft(qtbot, qapp, craft.root)
    try:
        assert again.controller.draft.problem.answer == "20"
        assert again.controller.hint.text == craft.controller.hint.text
        assert again.result() == result
        assert again.page.solve_card.bars.isVisible()
    finally:
        again.close()


def test_undo_brings_back_the_results_from_before(craft):
    craft.type_problem()
    card = craft.write()
    craft.do("solve")
    before = craft.result()
    card.editor.insertPlainText(" Really.")
    assert craft.result() is None
    assert craft.page.solve_card.bars.isHidden()
    craft.controller.undo()
    assert craft.result() == before
    assert craft.page.solve_card.bars.isVisible()


def test_all_are_solved_and_the_worst_is_opened(craft):
    craft.type_problem()
    craft.write("I am sure that the answer is 20.")
    craft.write("The sky was blue.")
    craft.write("A good way is to add all the numbers at once.")
    craft.do("solve_all")
    solved = craft.controller.results()
    assert len(solved) == 2
    assert len({id(r.conditions[Condition.CLEAN]) for r in solved.values()}) == 1
    craft.page.bound["worst"].trigger()
    drops = {i: r.drop.mean for i, r in solved.items()}
    assert drops[craft.controller.selected] == max(drops.values())
    assert craft.page.attribution.bar.currentIndex() == AttributionTab.TRACES
    craft.do("solve_all")
    assert craft.toasts == ["Every hint that passes the gates is solved already."]


def test_sentences_and_tokens_tell_which_and_where(craft):
    craft.type_problem()
    craft.write()
    craft.do("ablate")
    sentences = craft.page.attribution.sentences
    assert craft.page.attribution.bar.currentIndex() == AttributionTab.SENTENCES
    assert sum(r[0].isVisible() for r in sentences.rows) == 2
    assert "[" in sentences.rows[0][1].text
    craft.do("solve")
    craft.do("score")
    view = craft.page.attribution.tokens.view
    assert view.scores.text == craft.controller.solution()
    assert view.current == view.scores.worst
    view.setFocus()
    craft.qtbot.keyClick(view, Qt.Key.Key_Home)
    craft.qtbot.keyClick(view, Qt.Key.Key_Right)
    assert view.current == 1
    assert "likeliest" in view.accessibleDescription()
    assert craft.page.attribution.tokens.token.text()
    craft.page.attribution.tokens.figures.setChecked(True)
    craft.page.grab()


def test_attribution_is_there_again_after_a_restart(craft, qtbot, qapp):
    craft.type_problem()
    craft.write()
    craft.do("solve")
    craft.do("ablate")
    craft.do("score")
    scores, ablation = craft.controller.scores(), craft.controller.ablation()
    assert scores is not None
    assert ablation is not None
    assert craft.page.unsaved() == ""
    craft.crash()
    again = Craft(qtbot, qapp, craft.root)
    try:
        assert again.controller.scores() == scores
        assert again.controller.ablation() == ablation
        assert again.page.attribution.tokens.view.scores == scores
    finally:
        again.close()


def test_without_a_hint_the_problem_alone_is_solved(craft):
    craft.type_problem()
    craft.do("solve")
    assert set(craft.result().conditions) == {Condition.CLEAN}


# ---------------------------------------------------------------------- what goes wrong


def test_a_worker_that_is_killed_is_reported_once_and_restarted(craft):
    craft.type_problem()
    craft.page.solve_card.plan.samples.setValue(256)
    craft.write()
    craft.page.bound["solve"].trigger()
    craft.wait(lambda: craft.controller.task_status()[1] > 0)
    os.kill(craft.solver.client().pid, signal.SIGKILL)
    craft.wait(lambda: craft.page.banner.isVisible())
    craft.wait(lambda: craft.page.banner.title.text() == "The model's process is running again")
    assert not craft.problems
    craft.page.solve_card.plan.samples.setValue(4)
    craft.do("solve")
    assert craft.result().complete


def test_a_damaged_model_is_refused_in_words_and_nothing_changes(craft, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(64))
    craft.page.open_file(bad)
    craft.wait(lambda: craft.problems)
    title, text = craft.problems[0]
    assert title == "The model cannot be used"
    assert str(bad) in text
    assert craft.controller.draft.solver.model == ""


def test_a_model_that_is_dropped_is_loaded_and_then_chosen(craft, tmp_path):
    from seirenes_app.inference.models import bundled_model

    other = tmp_path / "other.gguf"
    other.write_bytes(bundled_model().read_bytes())
    craft.page.open_file(other)
    craft.wait(lambda: craft.controller.draft.solver.model == str(other))
    assert craft.solver.state.facts.path == str(other)
    assert craft.page.solve_card.solver.text() == "other"
    assert "parameters" in craft.page.solve_card.solver.toolTip()
    assert craft.toasts == ["other is loaded as the Solver."]
    craft.controller.undo()
    assert craft.page.solve_card.solver.text() == "Bundled reasoner"


def test_a_full_disk_is_reported_and_the_typed_text_stays(craft):
    craft.type_problem()
    craft.controller.session.flush()
    craft.workspace.close()
    craft.page.problem_card.question.insertPlainText("More. ")
    craft.wait(lambda: craft.page.header.saved.text() == "Not saved")
    craft.wait(lambda: any("was not saved" in text for text in craft.toasts))
    assert all(str(craft.workspace.path) in text for text in craft.toasts)
    assert "was not saved" in craft.page.unsaved()
    assert craft.controller.draft.problem.question.endswith("More. ")


def test_results_that_the_disk_refuses_are_kept_when_it_takes_them_again(craft, qapp):
    craft.type_problem()
    craft.controller.session.flush()
    other = sqlite3.connect(craft.workspace.path)
    other.execute("create trigger full before insert on craft_results begin select raise(abort, 'no room'); end")
    craft.do("solve")
    craft.wait(lambda: any("The result was not saved" in text for text in craft.toasts))
    assert craft.page.header.saved.text() == "Not saved"
    craft.page.problem_card.question.insertPlainText("More. ")
    assert craft.page.header.saved.text() == "Not saved"
    craft.controller.undo()
    assert "The result was not saved" in craft.page.unsaved()
    other.execute("drop trigger full")
    other.close()
    assert craft.page.unsaved() == ""
    craft.crash()
    again = Craft(craft.qtbot, qapp, craft.root)
    assert again.result() is not None
    again.close()


def test_a_second_window_on_the_same_draft_loses_nothing(craft, qapp):
    craft.type_problem()
    craft.controller.session.flush()
    second = Craft(craft.qtbot, qapp, craft.root)
    assert second.controller.session.draft.id == craft.controller.session.draft.id
    second.write("Theirs.")
    second.wait(lambda: second.page.header.saved.text() == "Saved")
    craft.write("Ours.")
    craft.wait(lambda: any("continue in a copy" in text for text in craft.toasts))
    craft.wait(lambda: craft.page.header.saved.text() == "Saved")
    store = CraftStore(second.workspace)
    drafts = [open_session(store, row.id).draft for row in store.drafts()]
    texts = {draft.title: [c.text for c in draft.hints] for draft in drafts}
    assert sorted(texts.values()) == [["Ours."], ["Theirs."]]
    assert any(title.endswith("(copy)") for title in texts)
    second.close()


def test_a_question_longer_than_the_context_is_refused_in_words(craft):
    craft.type_problem("The bag is red. " * 400 + "How many are 2 and 3?", "5")
    craft.do("solve")
    assert craft.problems[0][0] == "Solving failed"
    assert "context" in craft.problems[0][1] or "tokens" in craft.problems[0][1]


def test_closing_leaves_no_process_behind(craft):
    craft.type_problem()
    craft.do("solve")
    process = psutil.Process(craft.solver.client().pid)
    assert craft.page.unsaved() == ""
    craft.page.close_down()
    process.wait(60)


# ---------------------------------------------------------------------- the page as a whole


def test_the_command_is_copied(craft):
    craft.type_problem()
    craft.write()
    craft.page.bound["copy"].trigger()
    assert QGuiApplication.clipboard().text().startswith("seirenes solve ")
    assert craft.toasts == ["The command is on the clipboard."]


def test_the_keys_of_the_page_work_as_soon_as_it_is_in_view(craft, qapp):
    craft.type_problem()
    card = craft.write()
    window, elsewhere = QWidget(), QLineEdit()
    column = QVBoxLayout(window)
    column.addWidget(elsewhere)
    column.addWidget(craft.page)
    craft.qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    elsewhere.setFocus()
    craft.wait(elsewhere.hasFocus)
    craft.page.activate()
    craft.wait(lambda: card.isAncestorOf(qapp.focusWidget() or craft.page) or card.hasFocus())
    craft.qtbot.keyClick(
        qapp.focusWidget(), Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    assert len(craft.controller.draft.hints) == 2
    craft.page.setParent(None)


def test_everything_that_takes_the_keyboard_has_a_name(craft):
    craft.type_problem()
    craft.write()
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QPlainTextEdit)
    inner = ("qt_spinbox_lineedit",)
    nameless = [w for kind in kinds for w in craft.page.findChildren(kind)
                if not (w.accessibleName() or (isinstance(w, QAbstractButton) and w.text()))
                and w.objectName() not in inner and not w.objectName().startswith("Scroll")
                and w.focusPolicy() != Qt.FocusPolicy.NoFocus]  # fmt: skip
    assert not nameless


def test_the_page_fits_and_nothing_is_cut_at_the_side(craft, qapp):
    craft.type_problem()
    craft.write()
    bench = craft.page.panes
    for width, panes, theme in ((824, 1, "light"), (1104, 2, "dark"), (1744, 3, "dark")):
        apply_theme(qapp, theme)
        craft.page.resize(width, 760)
        craft.qtbot.wait(20)
        shown = [pane for pane in (bench.left, bench.middle, bench.right) if pane.isVisible()]
        assert len(shown) == panes
        for pane in shown:
            assert pane.widget().minimumSizeHint().width() <= pane.viewport().width()
            assert pane.body.itemAt(pane.body.count() - 1).spacerItem() is not None
        assert not craft.page.grab().isNull()
    craft.page.resize(824, 760)
    craft.qtbot.wait(20)
    tops = [
        w.y() for w in (craft.page.hint_type_card, craft.page.hint_list, craft.page.prompt_card, craft.page.solve_card)
    ]
    assert tops == sorted(tops)
    apply_theme(qapp, "light")


def test_solutions_stream_into_the_page_with_speed_and_time_left(craft):
    craft.type_problem()
    craft.page.solve_card.plan.samples.setValue(256)
    craft.write()
    shown, figures = [], []
    craft.controller.solvingChanged.connect(
        lambda _texts: shown.append(craft.page.attribution.traces.live_left.text.text())
    )
    craft.controller.taskChanged.connect(lambda: figures.append(craft.page.task_bar.progress.figures.text()))
    craft.page.bound["solve"].trigger()
    assert craft.page.attribution.traces.live.isVisible()
    craft.wait(lambda: any("tokens/s" in text and "left" in text for text in figures))
    craft.wait(lambda: any(shown))
    craft.page.bound["cancel"].trigger()
    craft.wait(lambda: not craft.controller.task)
    assert craft.page.attribution.traces.live.isHidden()


def test_nothing_moves_while_a_hint_is_solved(craft):
    craft.type_problem()
    craft.write()
    craft.page.solve_card.plan.samples.setValue(32)
    craft.page.bound["solve"].trigger()
    craft.wait(craft.page.solve_card.bars.isVisible)
    craft.qtbot.wait(50)
    places = []

    def ended():
        places.append((craft.page.solve_card.solve.mapTo(craft.page, QPoint()).y(), craft.page.attribution.y()))
        return not craft.controller.task

    craft.wait(ended)
    craft.qtbot.wait(20)
    ended()
    assert len(set(places)) == 1, [p for i, p in enumerate(places) if i == 0 or p != places[i - 1]]


def test_the_buttons_for_hints_stay_where_they_are_when_there_are_some(craft):
    craft.type_problem()
    draw = craft.page.hint_list.draw
    before = draw.mapTo(craft.page, QPoint()).y()
    craft.qtbot.mouseClick(draw, Qt.MouseButton.LeftButton)
    craft.wait(lambda: len(craft.controller.draft.hints) == 8)
    craft.qtbot.wait(50)
    assert craft.page.hint_list.solve_all.isVisible()
    assert draw.mapTo(craft.page, QPoint()).y() == before


def test_the_keyboard_stays_on_the_page_when_a_task_is_cancelled_or_ends(craft, qapp):
    craft.type_problem()
    craft.page.solve_card.plan.samples.setValue(256)
    card = craft.write()
    craft.qtbot.keyClick(card.editor, Qt.Key.Key_Escape)
    solve = craft.page.solve_card.solve
    solve.setFocus()
    craft.wait(solve.hasFocus)
    craft.qtbot.keyClick(solve, Qt.Key.Key_Space)
    craft.wait(lambda: craft.controller.task_status()[1] > 0)
    focused = qapp.focusWidget()
    assert craft.page.isAncestorOf(focused)
    assert focused is not craft.page.task_bar.progress.cancel
    # A second press of Space chooses no model.
    assert focused is craft.page.solve_card
    craft.qtbot.mouseClick(craft.page.task_bar.progress.cancel, Qt.MouseButton.LeftButton)
    craft.wait(lambda: not craft.controller.task)
    craft.qtbot.wait(50)
    assert qapp.focusWidget() is solve


def test_opening_another_draft_ends_the_task_and_adds_nothing_to_it(craft):
    craft.type_problem()
    craft.page.hint_list.count.setValue(32)
    craft.page.bound["generate"].trigger()
    craft.page.bound["new"].trigger()
    craft.wait(lambda: not craft.controller.task)
    assert craft.controller.draft.hints == ()
    assert craft.page.hint_list.empty.isVisible()


def test_prompts_are_chosen_for_both_roles_and_shown_as_the_model_gets_them(craft):
    craft.type_problem()
    craft.write()
    prompts, controller = craft.page.prompt_card.prompts, craft.controller
    assert (prompts.picker.currentText(), prompts.profile) == ("Auto: compact", None)
    dialog = prompts.open_exact()
    craft.wait(lambda: dialog.list.count() == 3)
    dialog.list.setCurrentRow(1)
    assert dialog.text.toPlainText() == f"<|user|>{QUESTION} {HINT}<|assistant|>"
    assert dialog.figures.text().split()[0].isdigit()
    dialog.accept()
    warm = replace(built_in(NEUTRAL), name="warm", sampling=Sampling(temperature=0.5, top_k=40))
    prompts._take(warm)
    draft = controller.draft
    assert (draft.solver.prompts, draft.adversary.prompts, draft.plan.temperature) == (warm, warm, 0.5)
    assert craft.page.solve_card.plan.temperature.value() == 0.5
    assert prompts.picker.currentText() == "warm"
    craft.do("solve")
    assert craft.result().complete
    controller.undo()
    assert (controller.draft.solver.prompts, prompts.profile) == (None, None)
    assert craft.result() is None


def test_the_token_limit_goes_with_the_model_until_it_is_set(craft, smollm2_gguf):
    controller = craft.controller
    assert controller.draft.plan.max_tokens == 192
    controller.load_file(smollm2_gguf)
    craft.wait(lambda: controller.draft.solver.model == str(smollm2_gguf))
    assert controller.draft.plan.max_tokens == 512
    craft.wait(lambda: controller.fitting == built_in(NEUTRAL))
    assert craft.page.prompt_card.prompts.picker.currentText() == "Auto: neutral"
    controller.edit(lambda d: replace(d, plan=replace(d.plan, max_tokens=100)), "change the plan")
    craft.wait(lambda: not controller.task)
    controller.load_model(SolverChoice(), {"solver": "Solver"})
    craft.wait(lambda: controller.draft.solver.model == "")
    assert controller.draft.plan.max_tokens == 100
