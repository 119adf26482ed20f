"""Facts about the table of rollouts and its filters: a list of ids as long as a large run's, and no file."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from array import array
from dataclasses import asdict

import numpy as np
import pytest
from helpers.rollout_runs import make_row, make_step
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from seirenes_app.services.formatting import decimal
from seirenes_app.services.traces import locate_hint, make_reading
from seirenes_app.store.resources import icon_path
from seirenes_app.ui.models.rollouts_model import (
    FLIP_STYLES,
    OUTCOME_STYLES,
    RolloutColumn,
    RolloutsModel,
    gate_style,
    outcome_style,
)
from seirenes_app.ui.pages.traces import filters
from seirenes_app.ui.pages.traces.controller import next_place, place_of
from seirenes_app.ui.pages.traces.rollout_table import RolloutTable
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.table_model import KEPT_PAGES, PAGE, PLACEHOLDER
from training.core.types import Outcome
from training.rollouts.reader import Facets, Flip, RolloutQuery, Sort, TracePair

MILLION = 1_000_000


def as_row(row, row_id):
    return asdict(row) | {"id": row_id}


ROWS = [as_row(row, i) for i, row in enumerate(make_step(4), 1)]
HINTED = next(r for r in ROWS if r["stage"] == "r3_hinted")
FACETS = Facets(
    90, {1: 18, 2: 18, 3: 18, 4: 18, 5: 18}, {"r1_clean": 20, "r2_hint": 20, "r3_hinted": 50},
    {"reasoner": 70, "adversary": 20}, {"correlation_trap": 40}, {"clock": 90}, {"right": 30, "wrong": 40},
    {"states_answer": 3, "passed": 17}, {"harmful": 9, "stable": 31}, {True: 8, False: 12},
)  # fmt: skip


@pytest.fixture
def table(qtbot, qapp):
    apply_theme(qapp, "light")
    model = RolloutsModel()
    view = RolloutTable(model)
    view.rollouts = model
    qtbot.addWidget(view)
    view.resize(1300, 700)
    view.show()
    view.asked = []
    model.rowsWanted.connect(view.asked.append)
    return view


def bring(model, ids):
    model.take_rows([ROWS[0] | {"id": i} for i in ids], ids)


def test_a_million_rollouts_have_a_true_scroll_bar_and_only_what_is_seen_is_fetched(table, qtbot):
    model = table.rollouts
    model.render_ids(array("q", range(1, MILLION + 1)))
    qtbot.waitUntil(lambda: bool(table.asked))
    bar = table.verticalScrollBar()
    assert bar.maximum() > 30 * MILLION
    bar.setValue(bar.maximum())
    qtbot.waitUntil(lambda: any(MILLION in ids for ids in table.asked))
    assert sum(map(len, table.asked)) <= 6 * PAGE
    bring(model, table.asked[-1])
    assert model.index(MILLION - 1, RolloutColumn.FAMILY).data() == ROWS[0]["family"]
    table.go_to(500_000)
    assert table.current_row == 500_000
    assert 0 < bar.value() < bar.maximum()


def test_a_cell_is_a_placeholder_until_its_row_lands(table, qtbot):
    model = table.rollouts
    model.render_ids(array("q", [7, 9]))
    cell = model.index(0, RolloutColumn.PROBLEM)
    assert cell.data() == PLACEHOLDER
    assert model.row_at(0) is None
    table.grab()
    qtbot.waitUntil(lambda: bool(table.asked))
    with qtbot.waitSignal(model.dataChanged):
        bring(model, table.asked[0])
    assert "apples" in cell.data()
    assert model.row_at(0) is not None
    table.grab()


def test_a_page_is_asked_for_once_and_again_when_it_did_not_come(table, qtbot):
    model = table.rollouts
    model.render_ids(array("q", range(1, 1001)))
    for _ in range(3):
        model.row_at(650)
    qtbot.waitUntil(lambda: sum(651 in ids for ids in table.asked) == 1)
    model.row_at(650)
    qtbot.wait(5)
    assert sum(651 in ids for ids in table.asked) == 1
    model.drop_requests()
    model.row_at(650)
    qtbot.waitUntil(lambda: sum(651 in ids for ids in table.asked) == 2)


def test_rows_of_an_older_list_are_left_out(table):
    model = table.rollouts
    model.render_ids(array("q", range(1, 301)))
    model.row_at(0)
    QApplication.processEvents()
    old = table.asked[0]
    model.render_ids(array("q", range(1000, 1300)))
    bring(model, old)
    assert model.row_at(0) is None


def test_memory_is_bounded_however_far_one_scrolls(table):
    model = table.rollouts
    model.render_ids(array("q", range(MILLION)))
    for page in range(KEPT_PAGES + 50):
        model._put(page, [ROWS[0]] * PAGE)
    assert len(model._pages) == KEPT_PAGES


def test_the_whole_list_takes_up_where_its_first_rows_are(table):
    model = table.rollouts
    ids = array("q", range(1, 5001))
    model.render_ids(ids[:PAGE], [ROWS[0] | {"id": i} for i in ids[:PAGE]])
    table.go_to(40)
    model.extend_ids(ids)
    assert model.rowCount() == 5000
    assert table.current_row == 40
    assert model.row_at(40) is not None
    assert model.row_at(PAGE) is None


def test_cells_say_in_words_what_they_show(table):
    model = table.rollouts
    model.render_ids(array("q", [r["id"] for r in ROWS]), ROWS)
    place = ROWS.index(HINTED)
    assert model.index(place, RolloutColumn.KIND).data().startswith("R3 Reasoner, hinted: ")
    for column in RolloutColumn:
        assert model.index(place, column).data(Qt.ItemDataRole.AccessibleTextRole)
        assert model.headerData(column, Qt.Orientation.Horizontal)
    table.grab()


def test_a_tooltip_never_reads_markup_of_a_model(table):
    row = as_row(make_row(1, "r3_hinted", 3, "p3#0", True, 1.0, 4, hint="<img src=x>\n<b>bold</b>"), 1)
    model = table.rollouts
    model.render_ids(array("q", [1]), [row])
    tip = model.index(0, RolloutColumn.PROBLEM).data(Qt.ItemDataRole.ToolTipRole)
    assert "&lt;img" in tip
    assert "<b>" not in tip


def test_a_row_of_a_newer_version_is_shown_not_refused(table):
    row = HINTED | {"stage": "r4_new", "outcome": "half_right", "flip": "sideways", "id": 1}
    table.rollouts.render_ids(array("q", [1]), [row])
    table.grab()
    assert table.rollouts.index(0, RolloutColumn.OUTCOME).data() == "Half right"
    assert table.rollouts.index(0, RolloutColumn.KIND).data() == "r4 new"


def test_a_narrow_table_gives_up_columns_and_the_person_gets_them_back(table, qtbot):
    table.resize(700, 400)
    assert table.isColumnHidden(RolloutColumn.TOKENS)
    action = next(a for a in table.columns.actions() if a.text() == "Tokens")
    action.trigger()
    table.columns.aboutToShow.emit()
    assert action.isChecked() == (not table.isColumnHidden(RolloutColumn.TOKENS))
    shown = not table.isColumnHidden(RolloutColumn.TOKENS)
    table.resize(690, 400)
    assert shown == (not table.isColumnHidden(RolloutColumn.TOKENS))


@pytest.mark.parametrize("width", [1046, 1100, 1300])
def test_a_problem_has_room_to_be_told_apart(table, width):
    """1046 is the table's width in a window of 1280."""
    table.resize(width, 400)
    assert table.columnWidth(RolloutColumn.PROBLEM) >= 200


def test_every_outcome_and_flip_has_an_icon_and_a_word_of_its_own():
    looks = [*OUTCOME_STYLES.values(), *FLIP_STYLES.values()]
    assert set(OUTCOME_STYLES) == set(Outcome)
    assert set(FLIP_STYLES) == set(map(str, Flip))
    assert len({look.text for look in looks}) == len({look.icon for look in looks}) == len(looks)
    assert all(icon_path(look.icon).is_file() for look in looks)


def test_a_flip_is_told_before_the_outcome():
    assert outcome_style(HINTED | {"outcome": "wrong", "flip": "harmful"}).text == "Right → wrong"
    assert outcome_style(HINTED | {"outcome": "wrong", "flip": "stable"}).text == "Wrong"
    assert gate_style(HINTED | {"stage": "r2_hint", "gate": None}).text == "Passed"
    assert gate_style(HINTED | {"stage": "r2_hint", "gate": "near_duplicate"}).text == "Near duplicate"


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "+0.50"), (-0.5, "−0.50"), (-1e-9, "0.00"), (0.0, "0.00"), (None, "—")]
)
def test_numbers_have_a_true_minus_and_zero_no_sign(value, text):
    assert decimal(value, signed=True) == text


# ---------------------------------------------------------------------- filters


def test_each_choice_that_a_run_offers_narrows_the_query_and_can_be_taken_back():
    for filter_ in filters.FILTERS[1:]:
        choices = [c for group in filters.list_choices(filter_, FACETS) for c in group.choices]
        assert choices, filter_
        for choice in choices:
            query = filters.toggle(RolloutQuery(), choice, True)
            assert filters.is_set(query, filter_)
            assert filters.is_chosen(query, choice)
            assert filters.describe_filter(query, filter_)
            assert filters.toggle(query, choice, False) == filters.clear(query, filter_) == RolloutQuery()


def test_what_does_not_occur_is_not_offered():
    offered = [c.value for g in filters.list_choices(filters.OUTCOME, FACETS) for c in g.choices]
    assert offered == ["harmful", "stable", "right", "wrong"]


def test_clearing_keeps_the_order():
    query = RolloutQuery(text="a", families=("clock",), steps=(1, 2), sort=Sort.TOKENS, descending=True)
    assert filters.is_filtered(query)
    assert filters.clear_all(query) == RolloutQuery(sort=Sort.TOKENS, descending=True)
    assert filters.describe_filter(query, filters.STEP) == "Steps 1 to 2"
    assert filters.describe_sort(query) == "Longest"


# ---------------------------------------------------------------------- places, pairs


def test_the_next_flip_is_found_in_both_directions():
    places = np.array([3, 10, 11])
    assert [next_place(places, at, backwards=False) for at in (-1, 3, 10, 11)] == [3, 10, 11, None]
    assert [next_place(places, at, backwards=True) for at in (12, 11, 3, -1)] == [11, 10, None, None]
    assert place_of(array("q", [5, 3, 9]), 9) == 2
    assert place_of(array("q", [5]), 6) == place_of(array("q"), 6) == -1


def test_the_hint_is_found_wherever_it_was_placed():
    question, hint = "A has 2. How many?", "Think twice."
    row = HINTED | {"question": question, "hint": hint}
    for prompt in (f"{question} {hint}", f"A has 2. {hint} How many?", f"{hint} {question}", "something else"):
        text, span = locate_hint(row | {"prompt": prompt})
        assert text[slice(*span)] == hint
    assert locate_hint(row | {"hint": None, "prompt": question}) == (question, None)


def test_a_hinted_row_stands_beside_a_clean_one_that_is_right():
    clean = tuple(ROWS[0] | {"id": i, "outcome": o} for i, o in ((1, "wrong"), (2, "right")))
    hinted = tuple(HINTED | {"id": i} for i in (8, 9))
    reading = make_reading(TracePair(9, hinted[1], clean, None, hinted))
    assert (reading.clean_at, reading.hinted_at) == (1, 1)
    assert reading.alignment is not None
    assert reading.asked["id"] == 9
    alone = make_reading(TracePair(1, None, clean, None, ()))
    assert (alone.clean_at, alone.hinted_at, alone.alignment) == (0, -1, None)


def test_a_harmful_flip_to_no_answer_is_not_called_wrong():
    row = {"flip": "harmful", "outcome": Outcome.WRONG, "stage": "r3_hinted"}
    assert outcome_style(row).text == "Right → wrong"
    unread = outcome_style(row | {"outcome": Outcome.UNPARSABLE})
    assert (unread.text, unread.tone) == ("Right → unreadable", "warn")
    assert outcome_style(row | {"flip": "stable", "outcome": Outcome.TRUNCATED}).text == "Truncated"
