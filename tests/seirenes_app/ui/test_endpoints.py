"""Facts about endpoints in the window: added, keyed, probed, asked, chosen and removed on the Models page."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.craft_bench import Craft
from helpers.keyring_file import file_keyring
from helpers.openai_server import FakeServer
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QPushButton

from seirenes_app.services.models.endpoints import EndpointDescription, must_ask, suggest_name, total_estimate
from seirenes_app.services.models.inventory import ModelSource, endpoint_entry
from seirenes_app.store.settings import Settings
from seirenes_app.ui.controllers.downloads import DownloadMonitor
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.models.models_model import ModelColumn
from seirenes_app.ui.pages.models import endpoint_dialogs
from seirenes_app.ui.pages.models.page import ModelsPage
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.cost_dialogs import SettingsDialog, ask_cost
from seirenes_app.ui.widgets.dialogs import ConfirmDialog
from seirenes_app.ui.widgets.model_picker import NO_ENDPOINTS, ModelPicker, argument_of
from training.core.types import Condition
from training.endpoints import (
    Capability,
    CostEstimate,
    Endpoint,
    Price,
    estimate,
    list_endpoints,
    save_endpoint,
    save_server_key,
    server_key,
)

SECRET = "sk-planted-secret-4711"


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {
        "HOME": home, "SEIRENES_DATA": tmp_path / "data", "SEIRENES_RUNS": tmp_path / "runs", "HF_HOME": home / "hf",
        "XDG_CACHE_HOME": home / "cache", "SEIRENES_CONFIG": tmp_path / "config",
        "TEST_KEYRING": tmp_path / "keyring.json",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    with file_keyring():
        yield


@pytest.fixture
def server():
    with FakeServer(say=lambda _body: "She has 10 pens.", models=("small", "large")) as made:
        yield made


class Shown:
    """The Models page, shown, and what it said."""

    def __init__(self, qtbot, qapp):
        apply_theme(qapp, "light")
        self.qtbot, self.inventory, self.downloads = qtbot, ModelInventory(), DownloadMonitor()
        self.page = ModelsPage(self.inventory, self.downloads)
        self.toasts, self.problems = [], []
        self.page.toast.connect(self.toasts.append)
        self.page.problem.connect(lambda title, text: self.problems.append((title, text)))
        qtbot.addWidget(self.page)
        self.page.resize(1280, 800)
        self.page.show()
        self.page.activate()
        self.wait(lambda: self.inventory.was_loaded)

    def wait(self, until):
        self.qtbot.waitUntil(lambda: bool(until()))

    def select(self, name):
        self.page.select(Path(f"endpoint:{name}"))
        self.wait(lambda: self.page.table.current is not None and self.page.table.current.name == name)
        self.wait(lambda: isinstance(self.inventory.description(self.page.table.current), EndpointDescription))
        return self.page.table.current

    def facts(self):
        return {a.text(): b.text() for a, b in self.page.facts.cells if a.isVisible()}

    def here(self, name):
        row = self.page.model.row_of(f"endpoint:{name}")
        return self.page.model.index(row, ModelColumn.FIT).data()

    def click(self, button):
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def shown(qtbot, qapp):
    made = Shown(qtbot, qapp)
    yield made
    made.page.close_down()
    made.inventory.close()
    made.downloads.close()


def test_an_endpoint_is_added_with_its_key_in_the_keyring_alone_and_probed(shown, server, tmp_path):
    server.key = SECRET
    dialog = shown.page.dialogs.show_endpoint()
    assert not dialog.go.isEnabled()
    dialog.address.setText(server.address)
    shown.qtbot.keyClicks(dialog.key, SECRET)
    assert dialog.key.echoMode() is QLineEdit.EchoMode.Password
    shown.click(dialog.list_models)
    shown.wait(lambda: dialog.model.count() == 2)
    assert "2 models" in dialog.status.text.text()
    dialog.model.setCurrentText("small")
    assert dialog.name.text() == "small"
    dialog.price_in.setValue(0.5)
    dialog.price_out.setValue(2)
    shown.click(dialog.go)
    assert dialog.key.text() == ""
    shown.wait(lambda: isinstance(shown.page.dialogs.open_dialog, endpoint_dialogs.ProbeDialog))
    probing = shown.page.dialogs.open_dialog
    shown.wait(lambda: probing.again.isEnabled())
    assert "answers" in probing.status.text.text()
    assert "Streaming: yes" in probing.capabilities.lines["streaming"].text.text()
    probing.reject()
    (kept,) = list_endpoints()
    assert (kept.name, kept.model, kept.price) == ("small", "small", Price(0.5, 2.0))
    assert kept.capabilities.streaming is Capability.YES
    assert server_key(server.address) == SECRET
    files = [f for f in tmp_path.rglob("*") if f.is_file() and f.name != "keyring.json"]
    assert not any(SECRET.encode() in f.read_bytes() for f in files)
    shown.select("small")
    facts = shown.facts()
    assert facts["Key"] == "in the system keyring"
    assert facts["Price"] == "0.5 in, 2 out, USD a million tokens"
    assert shown.here("small") == "Answers"
    for name in ("craft", "evaluate", "test", "probe", "edit", "key", "remove"):
        assert shown.page.actions_[name].isEnabled(), name
    for name in ("train", "convert", "export", "folder"):
        assert not shown.page.actions_[name].isEnabled(), name


def test_facts_of_the_chosen_endpoint_are_read_again_when_it_has_answered(shown, server):
    save_endpoint(Endpoint("small", server.address, "small"))
    shown.inventory.refresh()
    entry = shown.select("small")
    shown.inventory.note_endpoint(entry, reached=True)
    assert shown.inventory.description(entry) is None
    shown.wait(lambda: shown.inventory.description(entry) is not None)


def test_without_endpoints_their_list_says_what_one_is_and_how_to_add_it(shown):
    shown.page.source.setCurrentIndex(shown.page.source.findData(ModelSource.ENDPOINT))
    shown.wait(shown.page.no_endpoints.isVisible)
    shown.click(shown.page.no_endpoints.findChild(QPushButton))
    assert isinstance(shown.page.dialogs.open_dialog, endpoint_dialogs.EndpointDialog)
    shown.page.dialogs.open_dialog.reject()


def test_what_is_wrong_with_an_endpoint_is_said_in_its_dialog_and_nothing_is_saved(shown, server):
    dialog = shown.page.dialogs.show_endpoint()
    dialog.address.setText("http://127.0.0.1:9/v1")
    dialog.name.setText("no good name!")
    shown.click(dialog.list_models)
    shown.wait(lambda: dialog.status.text.text() and not dialog.status.text.text().endswith("…"))
    assert "127.0.0.1:9" in dialog.status.text.text()
    shown.click(dialog.save)
    shown.wait(lambda: "is no name" in dialog.status.text.text())
    assert list_endpoints() == []
    assert dialog.isVisible()
    dialog.reject()


def test_a_name_is_not_taken_twice_and_editing_keeps_what_was_probed(shown, server):
    save_endpoint(Endpoint("mine", server.address, "small"))
    dialog = shown.page.dialogs.show_endpoint()
    dialog.address.setText(server.address)
    dialog.name.setText("mine")
    shown.click(dialog.save)
    shown.wait(lambda: "already" in dialog.status.text.text())
    dialog.reject()
    shown.inventory.refresh()
    entry = shown.select("mine")
    editing = shown.page.dialogs.show_endpoint(entry)
    assert not editing.name.isEnabled()
    editing.a_minute.setValue(30)
    shown.click(editing.save)
    shown.wait(lambda: list_endpoints()[0].requests_per_minute == 30)
    assert list_endpoints()[0].model == "small"


def test_a_key_is_replaced_and_removed_and_never_shown(shown, server):
    save_endpoint(Endpoint("mine", server.address, "small"))
    save_server_key(server.address, SECRET)
    shown.inventory.refresh()
    entry = shown.select("mine")
    dialog = shown.page.dialogs.show_key(entry)
    shown.wait(dialog.remove.isVisible)
    assert dialog.key.text() == ""
    shown.qtbot.keyClicks(dialog.key, "sk-other")
    shown.click(dialog.save)
    shown.wait(lambda: server_key(server.address) == "sk-other")
    again = shown.page.dialogs.show_key(entry)
    shown.wait(again.remove.isVisible)
    shown.click(again.remove)
    shown.wait(lambda: server_key(server.address) is None)
    shown.wait(lambda: shown.toasts and "removed" in shown.toasts[-1])


def test_one_question_is_asked_and_the_reply_streams_with_what_it_took(shown, server):
    save_endpoint(Endpoint("mine", server.address, "small", Price(1, 1)))
    shown.inventory.refresh()
    dialog = shown.page.dialogs.show_test(shown.select("mine"))
    shown.click(dialog.ask)
    shown.wait(lambda: dialog.ask.isEnabled())
    assert dialog.reply.toPlainText() == "She has 10 pens."
    assert "1 request" in dialog.status.text.text()
    shown.click(dialog.ask)
    shown.wait(lambda: dialog.ask.isEnabled() and len(server.requests) == 2)
    dialog.reject()


def test_a_server_that_refuses_is_named_with_a_remedy_and_its_key_is_not_echoed(shown, server):
    server.key = "another"
    save_endpoint(Endpoint("mine", server.address, "small"))
    save_server_key(server.address, SECRET)
    shown.inventory.refresh()
    dialog = shown.page.dialogs.show_test(shown.select("mine"))
    shown.click(dialog.ask)
    shown.wait(lambda: dialog.ask.isEnabled())
    assert "key" in dialog.status.text.text()
    assert SECRET not in dialog.status.text.text()
    dialog.reject()


def test_a_slow_question_can_be_cancelled(shown, server):
    server.always = "slow"
    save_endpoint(Endpoint("mine", server.address, "small"))
    shown.inventory.refresh()
    dialog = shown.page.dialogs.show_test(shown.select("mine"))
    shown.click(dialog.ask)
    shown.wait(lambda: dialog.progress.isVisible() and server.requests)
    shown.click(dialog.progress.cancel)
    assert "cancelled" in dialog.status.text.text()
    assert dialog.ask.isEnabled()
    dialog.reject()


def test_removing_an_endpoint_removes_its_key_unless_another_one_uses_the_server(shown, server):
    for name in ("first", "second"):
        save_endpoint(Endpoint(name, server.address, "small"))
    save_server_key(server.address, SECRET)
    shown.inventory.refresh()
    for name, key in (("first", SECRET), ("second", None)):
        shown.page.dialogs.ask_remove(shown.select(name))
        shown.page.dialogs.open_dialog.accept()
        shown.wait(lambda name=name: name not in [e.name for e in list_endpoints()])
        shown.wait(lambda key=key: server_key(server.address) == key)


def test_a_dead_server_on_this_machine_is_seen_without_a_request(shown):
    save_endpoint(Endpoint("gone", "http://127.0.0.1:9/v1", "small"))
    save_endpoint(Endpoint("away", "https://models.example.com/v1", "small"))
    shown.inventory.refresh()
    shown.select("gone")
    assert shown.here("gone") == "No answer"
    assert "Start the server" in shown.page.facts.problem.text.text()
    shown.select("away")
    assert shown.here("away") == "Not probed"
    assert "Set key" in shown.page.facts.problem.text.text()


def test_a_damaged_list_of_endpoints_is_said_and_hides_no_model(qtbot, qapp, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "endpoints.json").write_text("{oops")
    made = Shown(qtbot, qapp)
    assert "endpoints.json" in made.page.count.text()
    assert made.page.model.rowCount() >= 2
    made.page.close_down()
    made.inventory.close()
    made.downloads.close()


def test_the_picker_offers_endpoints_only_where_they_can_be_used(shown, server):
    save_endpoint(Endpoint("mine", server.address, "small"))
    shown.inventory.refresh()
    shown.select("mine")
    every = ModelPicker("Model", "Use it", shown.inventory, current=Path("endpoint:mine"))
    trained = ModelPicker("Model", "Train it", shown.inventory, formats=frozenset({"folder"}))
    for picker in (every, trained):
        shown.qtbot.addWidget(picker)
    assert argument_of(every.current) == "endpoint:mine"
    shown.wait(lambda: "Price: not set" in every.preview.text())
    assert all(entry.endpoint is None for entry in trained.model.rows)
    assert NO_ENDPOINTS in trained.about.text()
    shown.qtbot.keyClicks(every.search, f"{server.address}#large")
    shown.wait(lambda: every.current is not None and every.current.endpoint.model == "large")
    assert argument_of(every.current) == f"{server.address}#large"
    every.reject()
    trained.reject()


# ---------------------------------------------------------------------- Craft


@pytest.fixture
def craft(qtbot, qapp, tmp_path, server):
    made = Craft(qtbot, qapp, tmp_path)
    save_endpoint(Endpoint("mine", server.address, "small", Price(1, 1, "EUR")))
    made.type_problem()
    made.write("The answer is around 31. Others add everything.")
    made.page.use_model(endpoint_entry(list_endpoints()[0]))
    made.wait(lambda: made.controller.draft.solver.model == "endpoint:mine" and not made.controller.task)
    yield made
    made.close()


def test_craft_solves_and_writes_with_an_endpoint_without_starting_a_worker(craft, server):
    assert craft.page.solve_card.solver.text() == "mine"
    assert "chosen as the Solver" in craft.toasts[-1]
    figures = []
    craft.controller.taskChanged.connect(lambda: figures.append(craft.controller.task_status()[3]))
    craft.page.bound["solve"].trigger()
    craft.wait(lambda: craft.result() is not None and craft.result().complete and not craft.controller.task)
    assert {s.answer for s in craft.result().conditions[Condition.HINTED].samples} == {"10"}
    assert any("requests" in text and "EUR" in text for text in figures)
    server.say = lambda _body: "Pens are often blue."
    craft.page.hint_list.count.setValue(2)
    craft.page.bound["generate"].trigger()
    craft.wait(lambda: len(craft.controller.draft.hints) == 3)
    assert {h.author for h in craft.controller.draft.hints[1:]} == {"mine"}
    assert craft.solver._client is None
    assert craft.problems == []


def test_a_view_that_needs_log_probs_says_what_is_missing_and_draws_nothing(craft):
    craft.controller.edit_problem("solution", solution="18 - 5 + 7 = 20")
    assert not craft.page.bound["score"].isEnabled()
    assert "GGUF file" in craft.page.attribution.tokens.text.text()
    assert craft.page.attribution.tokens.view.isHidden()
    shown = craft.controller.exact_prompts(craft.controller.fitting)
    assert all(prompt.n_tokens is None and "chat template of its own" in prompt.note for prompt in shown)


def test_craft_asks_before_an_endpoint_costs_more_than_the_limit(craft, server):
    Settings(ask_cost=0.0).save()
    craft.page.bound["solve"].trigger()
    craft.wait(lambda: craft.page.findChild(ConfirmDialog) is not None)
    asked = craft.page.findChild(ConfirmDialog)
    assert "EUR" in asked.windowTitle()
    assert server.requests == []
    asked.reject()
    assert craft.controller.task is None
    craft.wait(lambda: craft.page.findChild(ConfirmDialog) is None)
    craft.page.bound["solve"].trigger()
    craft.wait(lambda: craft.page.findChild(ConfirmDialog) is not None)
    craft.page.findChild(ConfirmDialog).confirm.click()
    craft.wait(lambda: craft.result() is not None and craft.result().complete)


def test_a_server_that_fails_in_craft_is_named_and_nothing_is_wrong(craft, server):
    server.always = 401
    craft.page.bound["solve"].trigger()
    craft.wait(lambda: craft.problems)
    assert craft.problems[0][0] == "Solving failed"
    assert craft.result() is None
    assert craft.controller.task is None


# ---------------------------------------------------------------------- cost


def test_work_above_the_limit_is_asked_about_and_below_it_starts_at_once(qtbot, shown):
    started = []
    cheap = CostEstimate(10, 1000, 0.1, 0.9, 5000, "EUR")
    dear = CostEstimate(1000, 100_000, 0.8, 3.2, 500_000, "EUR")
    unpriced = CostEstimate(201, 1000, None, None, 5000)
    assert ask_cost(cheap, "Start", shown.page, lambda: started.append("cheap")) is None
    assert ask_cost(None, "Start", shown.page, lambda: started.append("local")) is None
    assert started == ["cheap", "local"]
    asked = ask_cost(dear, "Start", shown.page, lambda: started.append("dear"))
    assert asked.windowTitle() == "Spend up to 3.20 EUR?"
    asked.reject()
    assert started == ["cheap", "local"]
    again = ask_cost(unpriced, "Start", shown.page, lambda: started.append("unpriced"))
    assert again.windowTitle() == "Send 201 requests?"
    again.confirm.click()
    assert started == ["cheap", "local", "unpriced"]


def test_nothing_is_asked_for_a_server_of_this_machine_without_a_price():
    local, remote = Endpoint("here", "http://127.0.0.1:8000/v1", "m"), Endpoint("there", "https://example.org/v1", "m")
    here, there = estimate(local, 5000, 100, 100, 50), estimate(remote, 150, 100, 100, 50)
    priced = estimate(replace(remote, price=Price(1.0, 2.0)), 10, 100, 100, 50)
    assert not must_ask(here, Settings())
    assert not must_ask(total_estimate([here, there]), Settings())
    assert must_ask(total_estimate([here, there, there]), Settings())
    assert total_estimate([here, priced]).cost == priced.cost
    assert not must_ask(total_estimate([here, priced]), Settings())
    assert must_ask(total_estimate([here, priced]), Settings(ask_cost=0.0))


def test_the_limits_are_the_settings(qtbot):
    found = CostEstimate(150, 1000, None, None, 5000)
    assert not must_ask(found, Settings())
    assert must_ask(found, Settings(ask_requests=100))
    dialog = SettingsDialog(Settings())
    qtbot.addWidget(dialog)
    dialog.cost.setValue(5)
    with qtbot.waitSignal(dialog.changed) as heard:
        dialog.save.click()
    assert heard.args[0] == Settings(ask_cost=5.0)


def test_a_name_is_suggested_from_model_or_host():
    assert suggest_name("https://api.example.com/v1", "lab/Model-1B:free") == "Model-1B-free"
    assert suggest_name("https://api.example.com/v1", "") == "api.example.com"
    assert suggest_name("https://", "") == ""
