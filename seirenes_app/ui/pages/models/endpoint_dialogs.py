"""The dialogs of endpoints: add and edit, key, probe, one question. A key goes from its field into the system keyring
and is never read back."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QLineEdit, QPlainTextEdit, QSpinBox, QWidget

from seirenes_app.services.cluster import drop_unused_key
from seirenes_app.services.formatting import count_of, duration
from seirenes_app.services.models.endpoints import PRESETS, ask_once, meter_text, served_models, suggest_name
from seirenes_app.ui.pages.models.views import CapabilityList
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_4
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, make_grid, row, scroll_area
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label
from seirenes_app.ui.widgets.progress import Progress
from seirenes_app.ui.widgets.secret_field import KEYRING_ONLY, make_secret_field
from training.endpoints import (
    Capabilities,
    ChatReply,
    Endpoint,
    Meter,
    Price,
    list_endpoints,
    probe,
    remove_endpoint,
    save_endpoint,
    save_server_key,
    server_key,
)
from training.errors import UserError

WIDE, FIELD_WIDTH = 560, 110
LIST_HEIGHT = 300
KEY_NOTE = "The key is kept in the system keyring for this server and nowhere else, and it is never shown again."
KEY_KEPT = "A key for this server is stored. Leave the field empty to keep it."
MODELS_HINT = "As the server names it: qwen3:4b"
PRICE_NOTE = "Without a price, requests and tokens are counted and cost is not."
QUESTION = "Anna has 12 pens. She gives 5 to Ben and buys 3 more. How many pens does she have now?"
UNSET = "not set"


class EndpointDialog(PageDialog):
    """Adds an endpoint, or edits one. Emits it when it is saved, and whether it is to be probed then."""

    saved = Signal(object, bool)  # Endpoint

    def __init__(self, tasks: TaskRunner, endpoint: Endpoint | None = None, parent: QWidget | None = None) -> None:
        super().__init__("Edit the endpoint" if endpoint is not None else "Add an endpoint", parent)
        self._tasks, self._old = tasks, endpoint
        self._suggested = ""
        self._build()
        self._render_endpoint(endpoint or Endpoint(name="", base_url=PRESETS[0].address, model=""))
        self._connect()
        self._find_key()
        (self.model if endpoint is not None else self.address).setFocus()

    def _build(self) -> None:
        self.body.addStrut(WIDE)
        self.preset = QComboBox()
        self.preset.setAccessibleName("Kind of server")
        for known in PRESETS:
            self.preset.addItem(known.name, known.address)
        ignore_wheel(self.preset)
        self.address = QLineEdit(placeholderText="https://host/v1")
        self.address.setAccessibleName("Address")
        self.key = make_secret_field("Key")
        self.model = QComboBox(editable=True)
        self.model.setAccessibleName("Model")
        self.model.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        ignore_wheel(self.model)
        line = self.model.lineEdit()
        if line is not None:
            line.setPlaceholderText(MODELS_HINT)
        self.list_models = make_button("List models", "refresh", tip="Ask the server which models it has; this is free",
                                       clicked=self.fetch_models)  # fmt: skip
        self.name = QLineEdit(placeholderText="A short name for lists and commands")
        self.name.setAccessibleName("Name")
        self.price_in, self.price_out = _price_field("Price of a million tokens in"), _price_field("… out")
        self.price_out.setAccessibleName("Price of a million tokens out")
        self.currency = QLineEdit("USD", maxLength=8)
        self.currency.setAccessibleName("Currency")
        self.currency.setFixedWidth(64)
        self.concurrency = _number_field("Requests at a time", 1, 64)
        self.a_minute = _number_field("Requests a minute", 0, 100_000)
        self.a_minute.setSpecialValueText("no limit")
        self.timeout = _number_field("Time limit of a request in seconds", 5, 3600)
        self.timeout.setSuffix(" s")
        grid = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
        price = row(self.price_in, make_label("in", "muted"), self.price_out, make_label("out", "muted"),
                    self.currency, make_label("a million tokens", "muted"), None)  # fmt: skip
        limits = row(self.concurrency, make_label("at a time", "muted"), self.a_minute, make_label("a minute", "muted"),
                     self.timeout, make_label("a request", "muted"), None)  # fmt: skip
        for at, (name, field) in enumerate((
            ("Server", row((self.preset, 1))), ("Address", row((self.address, 1))), ("Key", row((self.key, 1))),
            ("Model", row((self.model, 1), self.list_models)), ("Name", row((self.name, 1))), ("Price", price),
            ("Limits", limits),
        )):  # fmt: skip
            grid.addWidget(make_label(name, "small"), at, 0)
            grid.addLayout(field, at, 1)
        self.status = IconLine()
        place = QWidget()
        # Room for what is said, so that the buttons stay where they are.
        place.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        column(self.status, None, parent=place)
        about = "A model behind any server that speaks the OpenAI chat API, on this machine or elsewhere."
        fill(self.body, make_label(about, "muted", wrap=True), SPACE_2, grid, make_label(PRICE_NOTE, "small"), place)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.save = make_button("Save", "save", clicked=lambda: self._save(probe_it=False))
        self.go = make_button("Save and probe", "server", kind="primary",
                              tip="Save it, then find out what the server can do with a few short requests",
                              clicked=lambda: self._save(probe_it=True))  # fmt: skip
        self.go.setDefault(True)
        fill(self.buttons, None, self.cancel, self.save, self.go)

    def _render_endpoint(self, found: Endpoint) -> None:
        at = next((i for i, known in enumerate(PRESETS) if known.address == found.base_url), 0)
        self.preset.setCurrentIndex(at)
        self.address.setText(found.base_url)
        known = found.capabilities
        self.model.addItems(list(known.served_models) if known is not None else [])
        self.model.setCurrentText(found.model)
        self.name.setText(found.name)
        self.name.setEnabled(self._old is None)
        if self._old is not None:
            self.name.setToolTip("The name stays: evaluations and runs refer to it")
        if found.price is not None:
            self.price_in.setValue(found.price.input)
            self.price_out.setValue(found.price.output)
            self.currency.setText(found.price.currency)
        self.concurrency.setValue(found.concurrency)
        self.a_minute.setValue(found.requests_per_minute or 0)
        self.timeout.setValue(round(found.timeout_s))

    def _connect(self) -> None:
        self.preset.activated.connect(self._on_preset)
        self.address.textChanged.connect(lambda _text: self._on_address())
        self.model.currentTextChanged.connect(lambda _text: self._suggest_name())
        self.name.textEdited.connect(lambda _text: self._render())
        self._render()

    def _on_preset(self, _index: int) -> None:
        self.address.setText(self.preset.currentData())
        self.address.setFocus()

    def _on_address(self) -> None:
        self._find_key()
        self._suggest_name()

    def _suggest_name(self) -> None:
        """The name follows address and model until it is edited."""
        if self._old is None and self.name.text() == self._suggested:
            self._suggested = suggest_name(self.address.text().strip(), self.model.currentText().strip())
            self.name.setText(self._suggested)
        self._render()

    def _find_key(self) -> None:
        """Whether there is a key for the address; the key itself stays where it is."""
        address = self.address.text().strip()
        self._tasks.run(lambda: server_key(address) is not None, self._on_key_found, lambda _text: None, key="has key")

    def _on_key_found(self, there: bool) -> None:
        self.key.setPlaceholderText(KEY_KEPT if there else KEYRING_ONLY)

    def _render(self) -> None:
        complete = bool(self.address.text().strip().partition("://")[2] and self.name.text().strip())
        for button in (self.save, self.go):
            button.setEnabled(complete)
        self.list_models.setEnabled(bool(self.address.text().strip().partition("://")[2]))

    @property
    def endpoint(self) -> Endpoint:
        """What the fields say. What was probed is kept for the same server and model."""
        old = self._old or Endpoint(name="", base_url="", model="")
        address, model = self.address.text().strip().rstrip("/"), self.model.currentText().strip()
        priced = self.price_in.value() > 0 or self.price_out.value() > 0
        currency = self.currency.text().strip().upper() or "USD"
        same = (old.base_url, old.model) == (address, model)
        return replace(
            old, name=self.name.text().strip(), base_url=address, model=model,
            price=Price(self.price_in.value(), self.price_out.value(), currency) if priced else None,
            concurrency=self.concurrency.value(), requests_per_minute=self.a_minute.value() or None,
            timeout_s=float(self.timeout.value()), capabilities=old.capabilities if same else None,
        )  # fmt: skip

    def fetch_models(self) -> None:
        """Ask the server for its models, with the key of the field or the stored one."""
        address, key = self.address.text().strip().rstrip("/"), self.key.text().strip()
        self.list_models.setEnabled(False)
        self.status.render_line("clock", "muted", "Asking the server for its models…")
        self._tasks.run(lambda: served_models(address, key), self._on_models, self._on_failed, key="served models")

    def _on_models(self, names: tuple[str, ...]) -> None:
        self._render()
        now = self.model.currentText()
        self.model.clear()
        self.model.addItems(list(names))
        self.model.setCurrentText(now or (names[0] if len(names) == 1 else ""))
        if names:
            self.status.render_line("check-circle", "good", f"The server has {count_of(len(names), 'model')}.")
            self.model.setFocus()
        else:
            self.status.render_line("info", "muted", "The server lists no model. Type the name of one.")

    def _on_failed(self, text: str) -> None:
        self._render()
        self.status.render_line("error", "bad", text)

    def _save(self, *, probe_it: bool) -> None:
        endpoint, key, is_new = self.endpoint, self.key.text().strip(), self._old is None
        self.key.clear()
        for button in (self.save, self.go):
            button.setEnabled(False)
        self._tasks.run(
            lambda: store_endpoint(endpoint, key, is_new=is_new), lambda found: self._on_saved(found, probe_it),
            self._on_failed, key="save endpoint",
        )  # fmt: skip

    def _on_saved(self, endpoint: Endpoint, probe_it: bool) -> None:
        self.saved.emit(endpoint, probe_it)
        self.accept()

    def done(self, code: int) -> None:
        self.key.clear()
        self._tasks.cancel("has key", "served models")
        super().done(code)


class KeyDialog(PageDialog):
    """Takes the key of an endpoint's server and hands it to the system keyring, or removes it from there."""

    changed = Signal(str)  # What to say

    def __init__(self, endpoint: Endpoint, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__(f"Key of {endpoint.place}", parent)
        self._endpoint, self._tasks = endpoint, tasks
        self.status, self.error = IconLine(), IconLine()
        self.key = make_secret_field("Key")
        fill(self.body, make_label(KEY_NOTE, "muted", wrap=True), self.status, self.key, self.error)
        self.remove = make_button("Remove the key", "discard", clicked=lambda: self._keep(""), destructive=True)
        self.remove.hide()
        self.save = make_button("Save the key", "key", kind="primary", clicked=lambda: self._keep(self.key.text()))
        self.save.setDefault(True)
        self.save.setEnabled(False)
        fill(self.buttons, make_button("Cancel", clicked=self.reject), self.remove, None, self.save)
        self.key.textChanged.connect(lambda text: self.save.setEnabled(bool(text.strip())))
        self.key.setFocus()
        place = endpoint.base_url
        self._tasks.run(lambda: server_key(place) is not None, self._on_known, key="key")

    def _on_known(self, there: bool) -> None:
        self.remove.setVisible(there)
        words = "A key is stored. A new one replaces it." if there else "No key is stored."
        self.status.render_line("check-circle" if there else "info", "good" if there else "muted", words)

    def _keep(self, text: str) -> None:
        key, place, host = text.strip(), self._endpoint.base_url, self._endpoint.place
        self.key.clear()
        self.error.render_line("", "", "")
        words = f"The key of {host} is in the system keyring." if key else f"The key of {host} was removed."
        self._tasks.run(
            lambda: save_server_key(place, key), lambda _none: self._on_kept(words),
            lambda failure: self.error.render_line("error", "bad", failure), key="key",
        )  # fmt: skip

    def _on_kept(self, words: str) -> None:
        self.changed.emit(words)
        self.accept()

    def done(self, code: int) -> None:
        self.key.clear()
        super().done(code)


class ProbeDialog(PageDialog):
    """Finds out what an endpoint's server can do, shows it, and keeps it with the endpoint."""

    probed = Signal(object, bool)  # Endpoint, and whether it answered

    def __init__(self, endpoint: Endpoint, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__(f"Probe of {endpoint.title}", parent)
        self._endpoint, self._tasks = endpoint, tasks
        self._task: Task | None = None
        self.body.addStrut(WIDE)
        note = (
            f"A few short requests to {endpoint.model or 'the model'} at {endpoint.place}. They are billed as any "
            "others; the result is kept with the endpoint."
        )
        self.progress = Progress("Nothing is kept then")
        self.progress.cancelRequested.connect(self.cancel_probe)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        self.status = IconLine()
        self.capabilities = CapabilityList()
        inside = QWidget()
        column(self.status, SPACE_2, self.capabilities, None, margins=(0, 0, SPACE_4, 0), parent=inside)
        area = scroll_area(inside)
        area.setFixedHeight(LIST_HEIGHT)
        area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        area.setAccessibleName("Result of the probe")
        fill(self.body, make_label(note, "muted", wrap=True), self.progress, area)
        self.again = make_button("Probe again", "refresh", clicked=self.start)
        self.close_button = make_button("Close", kind="primary", clicked=self.reject)
        fill(self.buttons, self.again, None, self.close_button)
        self.start()

    def start(self) -> None:
        endpoint = self._endpoint
        self.again.setEnabled(False)
        self.status.render_line("", "", "")
        self.capabilities.render_capabilities(None)
        self.progress.render_progress("Asking the server…")

        def work(task: Task) -> Endpoint:
            found = probe(endpoint, task.report, lambda: task.cancelled)
            probed = replace(endpoint, capabilities=found)
            if endpoint.name:
                save_endpoint(probed)
            return probed

        self._task = self._tasks.run_task(
            work, self._on_probed, self._on_failed, progress=self._on_progress, key="probe"
        )

    def _on_progress(self, done: float, total: int) -> None:
        self.progress.render_progress("Asking the server…", done, total, f"{done:g} of {total}")

    def _on_probed(self, endpoint: Endpoint) -> None:
        self._endpoint, self._task = endpoint, None
        self.progress.clear()
        self.again.setEnabled(True)
        known = endpoint.capabilities
        self.status.render_line("check-circle", "good", say_probed(known) if known is not None else "")
        self.capabilities.render_capabilities(known)
        self.close_button.setFocus()
        self.probed.emit(endpoint, True)

    def _on_failed(self, text: str) -> None:
        self._task = None
        self.progress.clear()
        self.again.setEnabled(True)
        self.status.render_line("error", "bad", text)
        self.probed.emit(self._endpoint, False)

    def cancel_probe(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self.progress.clear()
            self.again.setEnabled(True)
            self.status.render_line("info", "muted", "The probe was cancelled; nothing of it is kept.")

    def done(self, code: int) -> None:
        self.cancel_probe()
        super().done(code)


def say_probed(known: Capabilities) -> str:
    parts = ["The server answers."]
    if known.context:
        parts.append(f"Its context has {known.context:,} tokens.")
    if known.max_tokens_name != "max_tokens":
        parts.append(f"It takes the limit of a reply as {known.max_tokens_name}.")
    return " ".join(parts)


class AskDialog(PageDialog):
    """Asks an endpoint one question, and shows the reply while it is written."""

    answered = Signal(bool)  # Whether it answered

    def __init__(self, endpoint: Endpoint, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__(f"Test of {endpoint.title}", parent)
        self._endpoint, self._tasks = endpoint, tasks
        self._task: Task | None = None
        self.body.addStrut(WIDE)
        self.question = QPlainTextEdit(QUESTION, tabChangesFocus=True)
        self.question.setAccessibleName("Question")
        self.question.setFixedHeight(4 * self.fontMetrics().lineSpacing())
        self.reply = QPlainTextEdit(readOnly=True, tabChangesFocus=True)
        self.reply.setAccessibleName("Reply")
        self.reply.setFixedHeight(LIST_HEIGHT - 80)
        self.progress = Progress("End the request; what came so far stays in view")
        self.progress.cancelRequested.connect(self.cancel_request)
        self.status = IconLine()
        place = QWidget()
        place.setMinimumHeight(3 * self.fontMetrics().lineSpacing())
        column(self.progress, self.status, None, parent=place)
        fill(self.body, make_label("Question", "small"), self.question, make_label("Reply", "small"), self.reply, place)
        self.close_button = make_button("Close", clicked=self.reject)
        self.ask = make_button("Ask", "play", kind="primary", tip="One request", clicked=self.start)
        self.ask.setDefault(True)
        fill(self.buttons, None, self.close_button, self.ask)
        self.ask.setFocus()

    def start(self) -> None:
        question, endpoint = self.question.toPlainText().strip(), self._endpoint
        if not question or self._task is not None:
            return
        self.ask.setEnabled(False)
        self.reply.clear()
        self.status.render_line("", "", "")
        self.progress.render_progress("Waiting for the reply…")

        def work(task: Task) -> tuple[ChatReply, Meter]:
            return ask_once(endpoint, question, task.report, lambda: task.cancelled)

        self._task = self._tasks.run_task(work, self._on_reply, self._on_failed, progress=self._on_text, key="ask")

    def _on_text(self, text: str) -> None:
        self.reply.setPlainText(text)
        self.reply.verticalScrollBar().setValue(self.reply.verticalScrollBar().maximum())

    def _on_reply(self, found: tuple[ChatReply, Meter]) -> None:
        reply, meter = found
        self._end()
        reasoning = f"[reasoning]\n{reply.reasoning}\n\n" if reply.reasoning else ""
        self._on_text(f"{reasoning}{reply.text}")
        cut = " It was cut off at the token limit." if reply.finish == "length" else ""
        blocked = " The server's content filter ended it." if reply.finish == "content_filter" else ""
        spent = meter_text(meter)
        words = f"It replied in {duration(reply.seconds) if reply.seconds >= 1 else 'under a second'}.{cut}{blocked}"
        self.status.render_line("check-circle", "good", f"{words}\n{spent}")
        self.answered.emit(True)

    def _on_failed(self, text: str) -> None:
        self._end()
        self.status.render_line("error", "bad", text)
        self.answered.emit(False)

    def _end(self) -> None:
        self._task = None
        self.progress.clear()
        self.ask.setEnabled(True)

    def cancel_request(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._end()
            self.status.render_line("info", "muted", "The request was cancelled. The server may bill what it wrote.")

    def done(self, code: int) -> None:
        self.cancel_request()
        super().done(code)


def _price_field(name: str) -> QDoubleSpinBox:
    field = QDoubleSpinBox(decimals=3, maximum=100_000, singleStep=0.1)
    field.setSpecialValueText(UNSET)
    field.setAccessibleName(name)
    field.setFixedWidth(FIELD_WIDTH)
    ignore_wheel(field)
    return field


def _number_field(name: str, low: int, high: int) -> QSpinBox:
    field = QSpinBox(minimum=low, maximum=high)
    field.setAccessibleName(name)
    field.setFixedWidth(FIELD_WIDTH)
    ignore_wheel(field)
    return field


# ---------------------------------------------------------------------- off the window's thread


def store_endpoint(endpoint: Endpoint, key: str, *, is_new: bool) -> Endpoint:
    """Save an endpoint, and its server's key where one was typed. A UserError says what was not saved."""
    if is_new and any(known.name == endpoint.name for known in list_endpoints()):
        raise UserError(f"There is an endpoint {endpoint.name!r} already. Choose another name, or edit that one.")
    save_endpoint(endpoint)
    if key:
        try:
            save_server_key(endpoint.base_url, key)
        except UserError as error:
            raise UserError(f"The endpoint is saved, its key is not. {error}") from None
    return endpoint


def drop_endpoint(endpoint: Endpoint) -> None:
    """Forget an endpoint, and the key of its server where no other endpoint and no cluster uses it."""
    remove_endpoint(endpoint.name)
    drop_unused_key(endpoint.base_url)
