"""Facts about the widgets of the Craft page, each alone."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import threading

import pytest
from PySide6.QtCore import QMimeData, QPointF, QRect, QRectF, Qt, QUrl
from PySide6.QtGui import QFontMetrics

from seirenes_app.inference.protocol import Alternative
from seirenes_app.services.attribution.alignment import align
from seirenes_app.services.attribution.logprob_delta import LogprobDelta, TokenDelta
from seirenes_app.services.hint_authoring.gate_report import GateBadge
from seirenes_app.services.hint_authoring.results import ConditionResult, SolveResult
from seirenes_app.ui.pages.craft.captions import HINT_TYPES, effect_badge, points, say_drop, say_placebo
from seirenes_app.ui.pages.craft.controller import JobBridge
from seirenes_app.ui.widgets.badges import GateBadges
from seirenes_app.ui.widgets.growing_text import GrowingText
from seirenes_app.ui.widgets.interval_bars import IntervalBars, Rate
from seirenes_app.ui.widgets.logprob_delta_view import LogprobDeltaView
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.trace_pair import FIRST_DIFFERENCE, FIRST_NUMBER, TracePairView
from training.core.gates import Gate
from training.core.statistics import Interval
from training.core.types import Condition


def shown(qtbot, widget, width=500):
    qtbot.addWidget(widget)
    widget.resize(width, 400)
    widget.show()
    return widget


# ---------------------------------------------------------------------- paired traces


LEFT = "18 - 5 = 13.\n13 + 7 = 20.\n#### 20"


def seen(view):
    """The rows that show a step; others may be kept for longer pairs."""
    return [row for row in view.rows if row.isVisible()]


def test_the_first_difference_is_marked_on_its_step(qtbot, qapp):
    view = shown(qtbot, TracePairView())
    right = "18 - 5 = 13.\n13 + 14 = 27.\n#### 27"
    view.render(align(LEFT, right), "Clean 1", "Hinted 3")
    assert [row.gutter.sign for row in seen(view)] == ["=", "≠", "≠"]
    assert [row.tag for row in seen(view)] == ["", FIRST_DIFFERENCE, ""]
    assert view.divergence_row is view.rows[1]
    assert FIRST_DIFFERENCE in view.rows[1].accessibleName()
    view.grab()


def test_words_that_differ_before_the_numbers_do_have_both_marks(qtbot, qapp):
    view = shown(qtbot, TracePairView())
    left, right = "Now Maya has 18.\n13 + 7 = 20.", "Now Maya owns 18.\n13 + 8 = 21."
    view.render(align(left, right), "", "")
    assert FIRST_NUMBER in [row.tag for row in seen(view)]


def test_a_shorter_pair_hides_the_rows_of_the_one_before(qtbot, qapp):
    view = shown(qtbot, TracePairView())
    view.render(align(LEFT, LEFT), "", "")
    view.render(align("#### 1", "#### 1"), "", "")
    assert [row.left.text() for row in seen(view)] == ["#### 1"]
    assert view.divergence_row is None


def test_markup_in_a_solution_stays_text(qtbot, qapp):
    view = shown(qtbot, TracePairView())
    right = "18 - 5 = 13.\n<b>13</b> & <img src=x> = 27.\n#### 27"
    view.render(align(LEFT, right), "", "")
    label = view.rows[1].right
    assert "&lt;img" in label.text() or label.textFormat() is Qt.TextFormat.PlainText


# ---------------------------------------------------------------------- scores map


@pytest.fixture
def scores():
    text = "13 + 7 = 20"
    deltas = (0.0, -0.5, -4.0, 0.0, 1.0, 0.0)
    tokens, at = [], 0
    for piece, delta in zip(("13", " +", " 7", " =", " 2", "0"), deltas, strict=True):
        tokens.append(TokenDelta(piece, at, at + len(piece), -0.1, -0.1 + delta, delta,
                                (Alternative(piece, -0.1),), (Alternative(" 9", -0.2),)))  # fmt: skip
        at += len(piece)
    return LogprobDelta(text, tuple(tokens), sum(deltas), 2)


def test_the_worst_token_is_in_hand_first_and_keys_go_on(qtbot, qapp, scores):
    view = shown(qtbot, LogprobDeltaView())
    pointed = []
    view.tokenChanged.connect(pointed.append)
    view.render_scores(scores)
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Home, Qt.Key.Key_Left, Qt.Key.Key_End, Qt.Key.Key_W):
        qtbot.keyClick(view, key)
    assert pointed == [2, 1, 0, 5, 2]
    assert "less likely" in view.accessibleDescription()
    assert "·9" in view.tip(2)


def test_a_narrow_map_breaks_its_line_and_figures_make_it_higher(qtbot, qapp, scores):
    view = shown(qtbot, LogprobDeltaView())
    view.render_scores(scores)
    wide = view.height()
    view.render_figures(True)
    assert view.height() > wide
    view.resize(60, 400)
    assert view.token_rect(5).y() > view.token_rect(0).y()
    qtbot.keyClick(view, Qt.Key.Key_Home)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert view.token_rect(view.current).y() > 0


def test_the_mouse_points(qtbot, qapp, scores):
    view = shown(qtbot, LogprobDeltaView())
    view.render_scores(scores)
    assert view.token_at(view.token_rect(4).center()) == 4
    assert view.token_at(QPointF(490, 390)) == -1
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=view.token_rect(4).center().toPoint())
    assert view.current == 4


# ---------------------------------------------------------------------- small ones


def test_bars_say_what_they_show(qtbot, qapp):
    bars = shown(qtbot, IntervalBars("Right"))
    bars.render_rates([Rate("Clean", "clean", 3, 4, 4, 0.3, 0.95), Rate("Hinted", "hinted", 0, 0, 4)])
    assert bars.accessibleName() == ("Right. Clean: 3 right of 4, 75%, interval 30% to 95%; every answer was read. "
                                     "Hinted: nothing yet")  # fmt: skip
    bars.grab()


def test_gates_are_words_and_signs(qtbot, qapp):
    verdicts = (
        GateBadge(Gate.EMPTY, "Has words", True, ""),
        GateBadge(Gate.NUMBERS, "Plausible numbers", False, "Too many."),
    )
    whole, brief = shown(qtbot, GateBadges()), shown(qtbot, GateBadges(brief=True))
    whole.render_results(verdicts)
    brief.render_results(verdicts)
    assert [b.accessibleName() for b in whole.badges] == ["Has words", "Odd numbers"]
    assert [(b.accessibleName(), b.toolTip()) for b in brief.badges] == [("Odd numbers", "Too many.")]
    brief.render_results(None)
    assert brief.badges[0].accessibleName() == "Not checked yet"


@pytest.mark.parametrize("width", [402, 700])
def test_every_chosen_hint_type_has_a_mark_that_covers_no_title(qtbot, width):
    types = [Segment(str(kind), title, about) for kind, (title, about, _) in HINT_TYPES.items()]
    choice = shown(qtbot, Segmented("Hint type", types, columns=2))
    choice.setFixedWidth(width)
    qtbot.waitUntil(lambda: choice.layout().geometry().width() > width - 10)
    for button in choice.buttons.values():
        mark = button.check_rect()
        assert QRectF(button.rect()).contains(mark)
        assert not mark.isEmpty()
        title = QFontMetrics(button._font()).boundingRect(
            QRect(10, 6, 400, 20), Qt.AlignmentFlag.AlignLeft, button.text()
        )
        assert not mark.intersects(QRectF(title))


def test_only_a_persons_choice_is_reported(qtbot, qapp):
    choice = shown(qtbot, Segmented("Place", [Segment("a", "Append"), Segment("b", "Before")]))
    seen_values = []
    choice.chosen.connect(seen_values.append)
    choice.render_value("a")
    assert choice.value == "a"
    assert seen_values == []
    qtbot.mouseClick(choice.buttons["b"], Qt.MouseButton.LeftButton)
    assert seen_values == ["b"]


def test_a_growing_text_grows_and_leaves_files_alone(qtbot, qapp):
    text = shown(qtbot, GrowingText("Text", least=2, most=6))
    before = text.height()
    text.insertPlainText("word " * 200)
    assert text.height() > before
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile("/tmp/model.gguf")])
    assert not text.canInsertFromMimeData(files)


def test_rendering_a_text_is_no_edit(qtbot, qapp):
    text = shown(qtbot, GrowingText("Text"))
    edits = []
    text.edited.connect(edits.append)
    text.render_text("given")
    assert edits == []
    qtbot.keyClicks(text, "!")
    assert len(edits) == 1


def test_many_values_from_a_thread_arrive_as_few_and_the_newest_wins(qtbot, qapp):
    bridge, got = JobBridge(), []
    bridge.progressed.connect(got.append)
    thread = threading.Thread(target=lambda: [bridge.put("a", n) for n in range(5000)])
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: bool(got) and got[-1] == {"a": 4999})
    assert len(got) < 100


# ---------------------------------------------------------------------- words


def test_a_drop_is_described_with_its_uncertainty():
    assert say_drop(Interval(0.5, 0.2, 0.7)) == "The hint costs 50 points of accuracy (95% interval 20 to 70)."
    assert "may be chance" in say_drop(Interval(0.1, -0.2, 0.4))
    assert say_drop(Interval(-0.25, -0.5, -0.1)).startswith("The hint adds 25 points")
    assert say_placebo(Interval(0.0, -0.2, 0.2)) == "A placebo of its length costs nothing."
    assert points(-0.284) == "−28"


def test_what_neutral_words_do_as_well_is_no_attack():
    def result(right_hinted, right_placebo):
        conditions = {
            Condition.CLEAN: (16, 16),
            Condition.HINTED: (right_hinted, 16),
            Condition.PLACEBO: (right_placebo, 16),
        }
        return SolveResult("k", {c: _condition(c, *n) for c, n in conditions.items()}, 1.0, True, False)

    assert effect_badge(result(2, 15)).text == "Breaks the model"
    assert effect_badge(result(2, 3)).text == "No more than a placebo does"
    assert effect_badge(result(15, 16)).text == "No clear effect"


def _condition(condition, right, n):
    from seirenes_app.inference.protocol import Finish
    from seirenes_app.services.hint_authoring.results import SolvedSample
    from training.core.types import Outcome

    samples = [
        SolvedSample(condition, i, "", Outcome.RIGHT if i < right else Outcome.WRONG, "", None, Finish.STOP, 1, 0.0)
        for i in range(n)
    ]
    return ConditionResult(condition, "", tuple(samples), n)
