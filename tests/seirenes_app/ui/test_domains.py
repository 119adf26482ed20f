"""Facts about families of more domains in the window: in the form, in Craft's library, and as a matrix."""

from dataclasses import replace

import pytest
from helpers.robust_runs import SKILL, write_run
from PySide6.QtCore import Qt

from seirenes_app.services.hint_authoring.draft import DraftProblem
from seirenes_app.services.robustness.comparison import compare_runs
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.ui.pages.craft.dialogs import LibraryDialog
from seirenes_app.ui.pages.robustness.chart_views import CompareView
from seirenes_app.ui.widgets import config_form
from seirenes_app.ui.widgets.config_form import Field, choose_family
from training.core.types import AnswerKind, Condition
from training.runs.config import DataConfig, RunConfig, describe_options


@pytest.fixture
def families(qtbot):
    field = Field(next(option for option in describe_options() if option.key == "data.families"))
    qtbot.addWidget(field)
    return field


def test_a_family_that_is_chosen_gets_a_chip_and_takes_all_away(families, monkeypatch):
    monkeypatch.setattr(config_form, "installed", lambda: True)
    families.set_text("all")
    dialog = choose_family(families.editor)
    dialog.search.setText("syllogism")
    dialog.choose.click()
    assert families.text() == "gym:syllogism"
    assert families.check() == ""
    families.editor.chips["change"].click()
    assert families.text() == "change,gym:syllogism"


def test_without_the_package_the_choice_says_how_to_install_it(families, monkeypatch):
    monkeypatch.setattr(config_form, "installed", lambda: False)
    dialog = choose_family(families.editor)
    assert dialog.model.rowCount() == 0
    assert "pip install 'seirenes[gym]'" in dialog.preview.text()
    dialog.reject()


def test_the_library_asks_for_problems_of_a_family_once_and_shows_them(qtbot):
    dialog = LibraryDialog({"change": "gains"}, {"gym:syllogism": "Syllogisms"})
    qtbot.addWidget(dialog)
    asked = []
    dialog.familyRequested.connect(asked.append)
    dialog.family.setCurrentIndex(dialog.family.findData("gym:syllogism"))
    assert asked == ["gym:syllogism"]
    assert "Making problems" in dialog.about.text()
    problem = DraftProblem("Does it follow?", "Yes", AnswerKind.CHOICE, family="gym:syllogism")
    dialog.render_made(("gym:syllogism", (problem,)))
    assert dialog.model.rows == [problem]
    dialog.family.setCurrentIndex(0)
    dialog.family.setCurrentIndex(dialog.family.findData("gym:syllogism"))
    assert asked == ["gym:syllogism"]
    assert not dialog.about.isVisibleTo(dialog)


def test_the_matrix_shows_one_condition_and_marks_what_is_a_change(qtbot, tmp_path):
    runs = []
    for name, after in (("change", SKILL[20]), ("ordering", SKILL[0])):
        config = replace(RunConfig(), data=DataConfig(families=name))
        results = ResultSource(write_run(tmp_path / name, {0: SKILL[0], 20: after}, problems=40, config=config).root)
        runs.append((results, results.tracks[0]))
    found = compare_runs(runs)
    view = CompareView()
    qtbot.addWidget(view)
    view.render_comparison(found)
    card = view.transfer
    assert card.isVisibleTo(view)
    model = card.cells
    assert [model.headerData(i, Qt.Orientation.Horizontal) for i in range(3)] == [
        "run: trained on", "trained families", "other families"
    ]  # fmt: skip
    other = model.index(0, 2)
    assert other.data() == found.transfer.rows[0].cells[-1].text(Condition.HINTED)
    assert other.data(Qt.ItemDataRole.FontRole).bold()
    assert "on" in other.data(Qt.ItemDataRole.ToolTipRole)
    assert model.index(1, 2).data(Qt.ItemDataRole.FontRole) is None
    card.condition.buttons["clean"].click()
    assert model.index(0, 2).data() == found.transfer.rows[0].cells[-1].text(Condition.CLEAN)
    view.render_comparison(replace(found, transfer=None))
    assert not card.isVisibleTo(view)
