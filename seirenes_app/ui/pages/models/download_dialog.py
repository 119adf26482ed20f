"""Finding a model on the Hugging Face hub, and what its download would take. The page starts the download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QLineEdit, QListView, QWidget

from seirenes_app.services.formatting import byte_size, short_count
from seirenes_app.services.models.downloads import DownloadPlan, plan_download
from seirenes_app.services.models.facts import Fit, FitLevel, ModelFiles, ModelFormat, fit_for_inference
from seirenes_app.services.models.hub import (
    HubError,
    HubProblem,
    LoginStatus,
    SearchResult,
    TokenSource,
    delete_token,
    endpoint,
    list_gguf_files,
    login_status,
    read_remote,
    save_token,
    search_hub,
)
from seirenes_app.ui.icons import icon
from seirenes_app.ui.models.models_model import fit_style
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label
from seirenes_app.ui.widgets.progress import make_bar
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, TableModel
from training.errors import UserError
from training.model_names import HubId, choose_gguf_file, parse_hub_id

NOTE = "A hub id such as Qwen/Qwen3-0.6B, or words to search the Hugging Face hub for."
LIST_SIZE = QSize(720, 204)
ANSWER_HEIGHT = 204
"""Room for what comes and goes below the list, so that the buttons stay where they are."""
PREFERRED = ("Q4_K_M", "Q5_K_M", "Q8_0", "Q4_0", "Q4_1")
NEEDS_LOGIN = (HubProblem.GATED, HubProblem.LOGIN, HubProblem.MISSING)


@dataclass(frozen=True)
class Choice:
    """One way to download a repository: a GGUF file with all its parts, or the folder with safetensors."""

    hub_id: HubId
    title: str
    size_bytes: int
    fit: Fit | None = None


@dataclass(frozen=True)
class Choices:
    """What a repository offers, smallest first, and which of it to begin with. `note` says what is not there."""

    offered: tuple[Choice, ...]
    at: int
    note: str = ""


def read_choices(hub_id: HubId) -> Choices:
    """What can be downloaded of a repository. Asks the hub."""
    remote = read_remote(hub_id)
    ggufs = list_gguf_files(hub_id, remote)
    found = []
    for gguf in ggufs:
        fit = fit_for_inference(ModelFiles(Path(gguf.name), ModelFormat.GGUF, gguf.size_bytes))
        parts = f"  ·  {gguf.parts} files" if gguf.parts > 1 else ""
        found.append(Choice(gguf.hub_id, f"GGUF {gguf.quantisation}{parts}", gguf.size_bytes, fit))
    weights = sum(f.size for f in remote.files if f.name.endswith(".safetensors"))
    if weights or not found:
        whole = HubId(hub_id.repo, revision=hub_id.revision)
        found.append(Choice(whole, "Hugging Face folder, which can be trained", weights))
    offered = tuple(found)
    if not hub_id.file:
        return Choices(offered, usual_choice(offered))
    try:
        asked = choose_gguf_file(hub_id, [gguf.name for gguf in ggufs])
    except UserError as error:
        return Choices(offered, usual_choice(offered), str(error))
    return Choices(offered, [gguf.name for gguf in ggufs].index(asked))


def usual_choice(choices: Sequence[Choice]) -> int:
    """A usual quantisation that fits this machine; else the first."""
    fitting = [c for c in choices if c.fit is not None and c.fit.level is FitLevel.YES]
    for name in PREFERRED:
        if (found := next((c for c in fitting if name in c.title), None)) is not None:
            return choices.index(found)
    return 0


class DownloadDialog(PageDialog):
    """Type or search, choose a file, see what it takes, start. Emits the plan; closing it ends what it asks."""

    startRequested = Signal(object)  # DownloadPlan
    loginRequested = Signal()

    def __init__(self, tasks: TaskRunner, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__("Download a model", parent)
        self._tasks = tasks
        self._note = ""  # What was asked for and is not there
        self.plan: DownloadPlan | None = None
        self._build()
        self.query.setText(text)
        self.query.setFocus()
        if text:
            self.submit()

    def _build(self) -> None:
        self.query = QLineEdit(placeholderText="org/name, org/name:file.gguf, or words", clearButtonEnabled=True)
        self.query.setAccessibleName("Hub id or search words")
        self.ask = make_button("Search", "search", clicked=self.submit)
        self.model = TableModel((Column("Models", describe_result, roles={
            int(Qt.ItemDataRole.DecorationRole): lambda r: icon("key" if r.gated else "models", "muted"),
            int(Qt.ItemDataRole.ToolTipRole): describe_result,
        }),), self)  # fmt: skip
        self.results = QListView(uniformItemSizes=True)
        self.results.setModel(self.model)
        self.results.setAccessibleName("Models that were found")
        self.results.setProperty("roomy", "true")
        self.results.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.results.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.results.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.results.setFixedSize(LIST_SIZE)
        self.nothing = make_label("Models that the search finds are listed here.", "muted")
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column(self.nothing, parent=self.results.viewport())
        self.files = QComboBox()
        self.files.setAccessibleName("What to download")
        ignore_wheel(self.files)
        self.file_row = QWidget()
        row(make_label("Download", "small"), (self.files, 1), spacing=SPACE_3, parent=self.file_row)
        self.bar = make_bar("Asking the hub")
        self.bar.setRange(0, 0)
        self.room, self.fit, self.licence, self.error = IconLine(), IconLine(), IconLine(), IconLine()
        self.answer = QWidget()
        self.answer.setFixedHeight(ANSWER_HEIGHT)
        lines = (self.room, self.fit, self.licence, self.error)
        column(self.bar, self.file_row, *lines, None, spacing=SPACE_2, parent=self.answer)
        fill(self.body, make_label(NOTE, "muted", wrap=True), row((self.query, 1), self.ask), self.results, self.answer)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.login = make_button("Log in…", "key", clicked=self.loginRequested.emit)
        self.login.hide()
        self.go = make_button("Download", "drop", kind="primary", clicked=self._start)
        fill(self.buttons, self.cancel, self.login, None, self.go)
        self.file_row.hide()
        self._render_asking("")
        self.query.textEdited.connect(lambda _text: self._forget_plan())
        self.results.activated.connect(lambda index: self._choose(index.data(ROW_ROLE)))
        self.results.clicked.connect(lambda index: self._choose(index.data(ROW_ROLE)))
        self.files.activated.connect(lambda _i: self._plan())
        # Enter asks the hub, wherever the keyboard is but on another button.
        self.ask.setDefault(True)
        self.cancel.setAutoDefault(False)

    def submit(self) -> None:
        """Ask the hub for what is typed: a repository, or a search."""
        text = self.query.text().strip()
        if not text:
            return
        self._forget_plan()
        try:
            hub_id = parse_hub_id(text)
        except UserError as error:
            self._render_error(str(error))
            return
        if hub_id is not None:
            self._look(hub_id)
        else:
            self._run(f"Searching for “{text}”…", lambda: search_hub(text), self._on_results)

    def _choose(self, result: SearchResult | None) -> None:
        if result is not None:
            self.query.setText(result.repo)
            self._look(HubId(result.repo))

    def _look(self, hub_id: HubId) -> None:
        self._forget_plan()
        self._run(f"Reading {hub_id.repo}…", lambda: read_choices(hub_id), self._on_choices)

    def _on_results(self, found: list[SearchResult]) -> None:
        self.model.render_rows(found)
        self.nothing.setVisible(not found)
        if found:
            self.results.setCurrentIndex(self.model.index(0, 0))
            self.results.setFocus()
        else:
            self._render_error("The hub has no text generation model of that name. Try fewer words, or a hub id.")

    def _on_choices(self, found: Choices) -> None:
        self._note = found.note
        self.files.clear()
        for choice in found.offered:
            style = fit_style(choice.fit)
            size = byte_size(choice.size_bytes) if choice.size_bytes else ""
            text = "  ·  ".join(filter(None, (choice.title, size, style.text)))
            self.files.addItem(icon(style.icon or "folder", style.tone), text, choice)
        self.files.setCurrentIndex(found.at)
        self.file_row.show()
        self._plan()

    def _plan(self) -> None:
        choice: Choice = self.files.currentData()
        self.plan = None
        self._run("Reading sizes…", lambda: plan_download(choice.hub_id), self._on_plan)

    def _on_plan(self, plan: DownloadPlan) -> None:
        choice: Choice = self.files.currentData()
        self.plan = plan
        refused = plan.refused_reason
        self._render_error(refused or self._note, plan.problem)
        self._note = ""
        if plan.present:
            words = f"All of it is on this machine already, in {plan.folder}."
        else:
            kept = plan.model_bytes - plan.total_bytes
            here = f"; {byte_size(kept)} are here already" if kept else ""
            room = f"{byte_size(plan.free_bytes)} are free in {plan.folder}."
            words = f"{byte_size(plan.total_bytes)} to download{here}. {room}"
        self.room.render_line("check-circle" if plan.present else "disk", "good" if plan.present else "muted",
                              words if not refused or plan.total_bytes else "")  # fmt: skip
        fit = choice.fit
        style = fit_style(fit)
        self.fit.render_line(style.icon, style.tone, f"{style.text}. {fit.sentence}" if fit is not None else "")
        terms = "Its licence must be accepted on its page first." if plan.gated else ""
        self.licence.render_line("key" if plan.gated else "info", "muted",
                                 f"Licence: {plan.licence or 'not stated'}. {terms}".strip())  # fmt: skip
        self.go.setEnabled(not refused and not plan.present)
        if self.go.isEnabled():
            self.go.setFocus()

    def _start(self) -> None:
        if self.plan is not None and self.go.isEnabled():
            self.startRequested.emit(self.plan)
            self.accept()

    def _run(self, words: str, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Ask the hub in another thread; a newer question replaces an older one."""

        def ask() -> Any:
            try:
                return work()
            except HubError as error:
                return error

        def take(found: Any) -> None:
            self._render_asking("")
            if isinstance(found, HubError):
                self._render_error(str(found), found.problem)
            else:
                done(found)

        def fail(text: str) -> None:
            self._render_asking("")
            self._render_error(text)

        self._render_error("")
        self._render_asking(words)
        self._tasks.run(ask, take, fail, key="hub")

    def _render_asking(self, words: str) -> None:
        self.bar.setVisible(bool(words))
        self.room.render_line("clock", "muted", words)
        self.fit.render_line("", "", "")
        self.licence.render_line("", "", "")
        self.go.setEnabled(False)

    def _render_error(self, text: str, problem: HubProblem | None = None) -> None:
        self.error.render_line("error", "bad", text)
        self.login.setVisible(problem in NEEDS_LOGIN)
        if text and not self.results.hasFocus():
            self.query.setFocus()

    def _forget_plan(self) -> None:
        """Another name is typed: what was said of the old one is gone."""
        self._tasks.cancel("hub")
        self.plan = None
        self.file_row.hide()
        self._render_asking("")
        self._render_error("")

    def done(self, code: int) -> None:
        self._tasks.cancel("hub")
        super().done(code)


def describe_result(result: SearchResult) -> str:
    """One line: name, formats, downloads, licence."""
    kinds = [name for name, there in (("GGUF", result.has_gguf), ("safetensors", result.has_safetensors)) if there]
    parts = (
        result.repo, " and ".join(kinds) or "no usable weights", "needs an account" if result.gated else "",
        f"{short_count(result.downloads)} downloads", result.licence or "no licence stated",
    )  # fmt: skip
    return "  ·  ".join(filter(None, parts))


TOKEN_NOTE = (
    "Some models ask you to accept their licence with a Hugging Face account. A token with read access is enough. It "
    "is kept in the system keyring and nowhere else, and it is never shown again."
)


class LoginDialog(PageDialog):
    """Takes a token and hands it to the system keyring; says who is logged in."""

    loggedIn = Signal(str)  # What to say

    def __init__(self, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__("Hugging Face login", parent)
        self._tasks = tasks
        self.status, self.error = IconLine(), IconLine()
        self.token = QLineEdit(placeholderText="hf_…", echoMode=QLineEdit.EchoMode.Password)
        self.token.setAccessibleName("Token")
        self.token.setInputMethodHints(Qt.InputMethodHint.ImhHiddenText | Qt.InputMethodHint.ImhSensitiveData)
        address, note = f"{endpoint()}/settings/tokens", make_label(TOKEN_NOTE, "muted", wrap=True)
        self.page = make_button("Make a token", "arrow-right", kind="quiet", tip=address,
                                clicked=lambda: QDesktopServices.openUrl(QUrl(address)))  # fmt: skip
        fill(self.body, note, self.status, row((self.token, 1), self.page), self.error)
        self.logout = make_button("Log out", "close", clicked=self._log_out)
        self.logout.hide()
        self.save = make_button("Log in", "key", kind="primary", clicked=self._save)
        self.save.setDefault(True)
        self.save.setEnabled(False)
        fill(self.buttons, make_button("Close", clicked=self.reject), self.logout, None, self.save)
        self.token.textChanged.connect(lambda text: self.save.setEnabled(bool(text.strip())))
        self.token.setFocus()
        self._ask_status()

    def _ask_status(self) -> None:
        self.status.render_line("clock", "muted", "Asking who is logged in…")
        self._tasks.run(login_status, self._on_status, self._on_failed, key="login")

    def _on_status(self, found: LoginStatus) -> None:
        by_keyring = found.source is TokenSource.KEYRING
        if found.user:
            self.status.render_line("check-circle", "good", f"Logged in as {found.user}, by {found.source}.")
        elif found.problem:
            self.status.render_line("warning", "warn", f"There is a token in {found.source}. {found.problem}")
        else:
            self.status.render_line("info", "muted", "Nobody is logged in.")
        self.logout.setVisible(by_keyring)
        if found.keyring_problem:
            self._on_failed(f"{found.keyring_problem} Log in with the hub's own command instead: hf auth login")
            self.token.setEnabled(False)

    def _save(self) -> None:
        token = self.token.text().strip()
        self.token.clear()
        self.error.render_line("", "", "")
        self._tasks.run(lambda: save_token(token), self._on_saved, self._on_failed, key="login")

    def _on_saved(self, _none: None) -> None:
        self.loggedIn.emit("The token is in the system keyring.")
        self._ask_status()

    def _log_out(self) -> None:
        self._tasks.run(delete_token, lambda _gone: self._ask_status(), self._on_failed, key="login")

    def _on_failed(self, text: str) -> None:
        self.error.render_line("error", "bad", text)
        if self.status.text.text().endswith("…"):
            self.status.render_line("", "", "")
