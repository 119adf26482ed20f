"""Facts about the prompt row, the editor behind it, and the exact text of a prompt."""

from dataclasses import replace

import pytest

from seirenes_app.services.exact_prompt import prompts_to_show, render_prompts
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.prompt_editor import PLACES, ExactPromptDialog, PromptEditor, PromptRow
from training.core.prompts import Sampling
from training.prompt_files import CAUTIOUS, COMPACT, NEUTRAL, built_in, find_profile, save_profile


def starter_prompts(profile):
    return render_prompts("starter", prompts_to_show(profile), profile)


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))


@pytest.fixture
def tasks(qapp):
    apply_theme(qapp, "light")
    runner = TaskRunner()
    yield runner
    runner.close()


@pytest.fixture
def prompt_row(qtbot, tasks):
    made = PromptRow(tasks, starter_prompts)
    qtbot.addWidget(made)
    made.show()
    return made


@pytest.fixture
def editor(qtbot, tasks):
    made = PromptEditor(built_in(NEUTRAL), tasks, starter_prompts)
    qtbot.addWidget(made)
    made.show()
    return made


def test_an_untouched_editor_gives_the_profile_itself(editor):
    assert editor.profile is editor._base
    assert "unchanged" in editor.words.text()
    assert not editor.reset.isEnabled()
    for name in (CAUTIOUS, COMPACT):
        editor.render_profile(built_in(name))
        assert editor.profile == built_in(name)


def test_an_edited_profile_has_another_name_and_digest_and_can_be_reset(qtbot, editor):
    editor.place.buttons["answers"].click()
    assert editor.stack.currentIndex() == list(PLACES).index("answers")
    editor.numbers["top_p"].setValue(0.9)
    editor.numbers["temperature"].setValue(0.6)
    editor.thinking.setCurrentIndex(2)
    editor.stop.setText("Problem:, \\n\\n")
    editor._on_edited()
    made = editor.profile
    assert made.sampling == Sampling(temperature=0.6, top_p=0.9, stop=("Problem:", "\n\n"))
    assert made.template == {"enable_thinking": False}
    assert made.name == "neutral-edited"
    assert made.digest[:8] in editor.words.text()
    chosen = []
    editor.chosen.connect(chosen.append)
    editor.reset.click()
    assert editor.profile == built_in(NEUTRAL)
    editor.numbers["top_k"].setValue(20)
    editor.use.click()
    assert chosen == [replace(built_in(NEUTRAL), name="neutral-edited", sampling=Sampling(top_k=20))]


def test_a_text_without_the_problem_is_refused_in_words(editor):
    editor._texts["reasoner.user"].setPlainText("Solve it.")
    assert "{problem}" in editor.words.text()
    assert not editor.use.isEnabled()
    assert not editor.save.isEnabled()
    editor._texts["reasoner.user"].setPlainText("Q: {problem}")
    assert editor.use.isEnabled()


def test_prompts_are_saved_under_a_name_of_the_users(editor):
    editor._texts["reasoner.system"].setPlainText("Think.")
    editor.save_as("neutral")
    assert "built-in" in editor.words.text()
    editor.save_as("mine")
    assert find_profile("mine").reasoner.system == "Think."
    assert editor.picker.currentText() == "mine"
    assert editor.profile is editor._base


def test_every_field_of_the_editor_has_a_name(editor):
    fields = [*editor._texts.values(), *editor.numbers.values(), editor.stop, editor.thinking, editor.characters]
    fields += [box for boxes in editor.limits.values() for box in boxes]
    assert all(field.accessibleName() for field in fields)
    assert len({field.accessibleName() for field in fields}) == len(fields)


def test_the_row_says_what_auto_means_and_keeps_a_profile_that_is_no_file(prompt_row):
    assert not prompt_row.edit.isEnabled()
    prompt_row.render_profile(None, built_in(COMPACT))
    assert prompt_row.picker.currentText() == "Auto: compact"
    assert (prompt_row.profile, prompt_row.used, prompt_row.name) == (None, built_in(COMPACT), "auto")
    own = replace(built_in(NEUTRAL), name="from a run", sampling=Sampling(top_k=7))
    prompt_row.render_profile(own)
    assert (prompt_row.profile, prompt_row.name, prompt_row.is_named) == (own, "from a run", False)
    save_profile(own, "from a run")
    assert prompt_row.is_named


def test_a_profile_that_is_not_there_is_shown_with_the_reason(prompt_row):
    prompt_row.render_name("gone")
    assert (prompt_row.name, prompt_row.profile) == ("gone", None)
    assert "There is no prompt profile 'gone'" in prompt_row.problem
    prompt_row.render_name("cautious")
    assert (prompt_row.problem, prompt_row.profile) == ("", built_in(CAUTIOUS))


def test_what_the_editor_gives_is_taken_by_the_row(qtbot, prompt_row):
    taken = []
    prompt_row.changed.connect(taken.append)
    prompt_row.render_profile(built_in(NEUTRAL))
    editor = prompt_row.open_editor()
    editor.numbers["min_p"].setValue(0.05)
    editor.use.click()
    assert [p.sampling.min_p for p in taken] == [0.05]
    assert prompt_row.profile == taken[0]


def test_the_exact_prompt_shows_special_tokens_and_counts(qtbot, prompt_row):
    prompt_row.render_profile(None, built_in(COMPACT))
    dialog = prompt_row.open_exact()
    qtbot.waitUntil(lambda: dialog.list.count() == 6)
    assert dialog.text.toPlainText().startswith("<|user|>")
    assert dialog.text.toPlainText().endswith("<|assistant|>")
    assert dialog.figures.text().split()[1] == "tokens"
    dialog.list.setCurrentRow(2)
    assert "Distract: information overload" in dialog.text.toPlainText()
    dialog.accept()


def test_a_model_that_is_not_there_is_said_in_the_dialog(qtbot, tasks):
    row = PromptRow(tasks, lambda profile: render_prompts("/no/such/model", prompts_to_show(profile), profile))
    qtbot.addWidget(row)
    row.render_profile(built_in(NEUTRAL))
    dialog = row.open_exact()
    assert isinstance(dialog, ExactPromptDialog)
    qtbot.waitUntil(lambda: "/no/such/model" in dialog.about.text())
    dialog.accept()
