"""What the Models page is made of: the table of models, the facts of the selected one, the downloads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from seirenes_app.services.formatting import byte_size, count_of, duration, format_count, percent, short_count
from seirenes_app.services.models.downloads import DownloadState, DownloadSummary
from seirenes_app.services.models.endpoints import EndpointDescription, capability_text, price_text, probed_text
from seirenes_app.services.models.facts import ModelDescription, ModelFormat
from seirenes_app.services.models.inventory import ModelEntry
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.models.models_model import FORMATS, ModelColumn, ModelsModel, fit_style, source_name
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_STYLES, Badge, BadgeStyle
from seirenes_app.ui.widgets.boxes import FlowLayout, column, fill, make_grid, row, scroll_area
from seirenes_app.ui.widgets.buttons import action_button, make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLine, make_label, wrap_anywhere
from seirenes_app.ui.widgets.progress import make_bar, render_bar
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Index, lay_out_rows
from training.core.chat_template import NoteKind
from training.core.prompts import ModelKind
from training.endpoints import CAPABILITIES, Capabilities, Capability, Endpoint
from training.runs.status import LIVE, RunStatus

ROW = 36


class ModelDelegate(QStyledItemDelegate):
    """Cuts names in the middle, for their end tells one quantisation from another; reasons at their end."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        entry: ModelEntry = index.data(ROW_ROLE)
        middle = index.column() == ModelColumn.NAME and entry.usable
        option.textElideMode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight


class ModelTable(QTableView):
    """Arrows choose a model, a click on a title sorts."""

    modelChosen = Signal(object)  # ModelEntry under the cursor, None for none

    def __init__(self, model: ModelsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent, showGrid=False, wordWrap=False, cornerButtonEnabled=False)
        self._models = model
        self._kept, self._row = "", 0  # Id and place of the model under the cursor, across resets
        self.setModel(model)
        self.setAccessibleName("Models on this machine")
        self.setProperty("roomy", "true")
        lay_out_rows(self, ROW)
        self.setVerticalScrollMode(self.ScrollMode.ScrollPerPixel)
        self.setItemDelegate(ModelDelegate(self))
        self.setIconSize(QSize(16, 16))
        rows = self.verticalHeader()
        rows.setSectionResizeMode(rows.ResizeMode.Fixed)
        header = self.horizontalHeader()
        header.setSectionsClickable(True)
        header.setSectionResizeMode(ModelColumn.NAME, header.ResizeMode.Stretch)
        header.sectionClicked.connect(self._on_header_clicked)
        self.selectionModel().currentRowChanged.connect(lambda now, _before: self._on_current(now.data(ROW_ROLE)))
        model.modelReset.connect(self._on_reset)

    @property
    def current(self) -> ModelEntry | None:
        found: ModelEntry | None = self.currentIndex().data(ROW_ROLE) if self.currentIndex().isValid() else None
        return found

    def select(self, id_: str) -> None:
        """Put the cursor on a model; if it is not listed yet, as soon as it is."""
        self._kept = id_
        self._on_reset()

    def _on_reset(self) -> None:
        at, rows = self._models.row_of(self._kept), self._models.rowCount()
        if at < 0 and rows:
            # It was removed, or is filtered out: its neighbour takes its place.
            at = min(self._row, rows - 1)
        if at >= 0:
            self.setCurrentIndex(self._models.index(at, 0))
        else:
            self.modelChosen.emit(None)

    def _on_current(self, entry: ModelEntry | None) -> None:
        if entry is not None:
            self._kept, self._row = entry.id, self.currentIndex().row()
        self.modelChosen.emit(entry)

    def _on_header_clicked(self, section: int) -> None:
        now, descending = self._models.order
        self._models.render_order(ModelColumn(section), descending=not descending if now == section else False)

    def showEvent(self, event: QShowEvent) -> None:
        """As soon as the header has its font: no title is cut, with its arrow neither."""
        super().showEvent(event)
        header = self.horizontalHeader()
        arrow = header.fontMetrics().horizontalAdvance(" ↓") + 4
        for at, spec in enumerate(self._models.columns):
            if spec.width:
                self.setColumnWidth(at, max(spec.width, header.sectionSizeFromContents(at).width() + arrow))

    def resizeEvent(self, event: QResizeEvent) -> None:
        for at, spec in enumerate(self._models.columns):
            self.setColumnHidden(at, event.size().width() < spec.hidden_below)
        super().resizeEvent(event)


PRIMARY = {
    "craft": "Use in Craft", "evaluate": "Evaluate…", "train": "Train from this…", "convert": "Convert to train…",
    "probe": "Probe…", "test": "Test…",
}  # fmt: skip
PLACES = {"craft": (0, 0), "evaluate": (0, 1), "train": (1, 0), "convert": (1, 0), "probe": (1, 0), "test": (1, 1)}
"""Row and column. Three share a place: a GGUF file is converted first, an endpoint is probed, others are trained."""
SECONDARY = {
    "export": "Export…", "serve": "Serve…", "folder": "Folder", "edit": "Edit…", "key": "Set key…", "copy": "Copy name",
    "remove": "Remove…",
}  # fmt: skip
OF_FILES, OF_ENDPOINTS = ("export", "serve", "folder"), ("probe", "edit", "key")
READING = "Reading its files…"
ASKING = "Looking for its server and its key…"
NOT_PROBED_NOTE = "Probe it once: a few short requests show what its server can do, and which views can use it."
STATES = {
    Capability.YES: ("check", "good"), Capability.NO: ("close", "muted"), Capability.UNKNOWN: ("silent", "muted"),
}  # fmt: skip
"""Icon and colour of a capability."""


class CapabilityList(QWidget):
    """What an endpoint's server can do, and what that is for: a line each."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("What the server can do")
        self.lines = {name: IconLine() for name in CAPABILITIES}
        heading = make_label("What the server can do", "small")
        column(heading, *self.lines.values(), spacing=SPACE_2, parent=self)

    def render_capabilities(self, found: Capabilities | None) -> None:
        """Show them; None hides the list."""
        self.setVisible(found is not None)
        for name, line in self.lines.items():
            if found is not None:
                state: Capability = getattr(found, name)
                line.render_line(*STATES[state], capability_text(name, state))


class FactsPanel(QWidget):
    """The selected model: what can be done with it, whether it fits this machine, and its facts."""

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions = actions
        self.setAccessibleName("The selected model")
        self.name, self.about = ElidedLabel("heading", fill=True), ElidedLabel("muted", fill=True)
        self.buttons = {
            name: action_button(actions[name], text, kind="primary" if name == "craft" else "")
            for name, text in PRIMARY.items()
        } | {name: action_button(actions[name], text, kind="quiet") for name, text in SECONDARY.items()}
        grid = make_grid(gaps=(SPACE_2, SPACE_2))
        for name, place in PLACES.items():
            grid.addWidget(self.buttons[name], *place)
        for i in range(2):
            grid.setColumnStretch(i, 1)
        more = QWidget()
        flow = FlowLayout(more, gap=SPACE_1, line_gap=SPACE_1, even=True)
        for name in SECONDARY:
            self.buttons[name].setProperty("start", "true")
            flow.addWidget(self.buttons[name])
        self.problem, self.inference, self.training, self.lora, self.notes = (IconLine() for _ in range(5))
        self.capabilities = CapabilityList()
        self.capabilities.hide()
        self._facts = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
        self.cells: list[tuple[QLabel, QLabel]] = []
        inside = QWidget()
        column(
            self.problem, self.inference, self.training, self.lora, self.notes, SPACE_2, self._facts,
            SPACE_2, self.capabilities, None,
            spacing=SPACE_3, margins=(0, SPACE_1, SPACE_3, SPACE_3), parent=inside,
        )  # fmt: skip
        self.card = Card()
        self.card.body.setSpacing(SPACE_3)
        area = scroll_area(inside)
        area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        area.setAccessibleName("Facts of the selected model")
        names = column(self.name, self.about, spacing=2)
        fill(self.card.body, names, grid, more, (area, 1))
        column(self.card, parent=self)

    def render_entry(
        self, entry: ModelEntry | None, known: ModelDescription | EndpointDescription | str | None
    ) -> None:
        """Show a model; `known` is why it cannot be described, or None while it is read."""
        endpoint = entry.endpoint if entry is not None else None
        self.name.setText(entry.name if entry is not None else "No model is selected")
        about = f"{source_name(entry.source)}  ·  {FORMATS[entry.format]}" if entry is not None else ""
        if endpoint is not None:
            about = f"{endpoint.model or 'Its only model'} at {endpoint.place}"
        self.about.setText(about)
        is_gguf = entry is not None and entry.format is ModelFormat.GGUF
        self.buttons["convert"].setVisible(is_gguf)
        self.buttons["train"].setVisible(not is_gguf and endpoint is None)
        for name in OF_FILES:
            self.buttons[name].setVisible(endpoint is None)
        for name in OF_ENDPOINTS:
            self.buttons[name].setVisible(endpoint is not None)
        if endpoint is not None:
            self._render_endpoint(endpoint, known)
            return
        self.capabilities.render_capabilities(None)
        facts = known if isinstance(known, ModelDescription) else None
        problem = known if isinstance(known, str) else entry.problem if entry is not None else ""
        waits = entry is not None and known is None and not problem
        self.problem.render_line("clock" if waits else "warning", "muted" if waits else "warn",
                                 READING if waits else problem)  # fmt: skip
        for line, fit in (
            (self.inference, facts and facts.inference), (self.training, facts and facts.training_full),
            (self.lora, facts and facts.training_lora),
        ):  # fmt: skip
            style = fit_style(fit or None)
            line.render_line(style.icon, style.tone, f"{style.text}. {fit.sentence}" if fit else "")
        notes = (facts.training_note, facts.template_note.text, *facts.notes) if facts is not None else ()
        self.notes.render_line("info", "muted", "\n".join(filter(None, notes)))
        self._render_facts(list_facts(entry, facts) if entry is not None else [])

    def _render_endpoint(self, endpoint: Endpoint, known: object) -> None:
        found = known if isinstance(known, EndpointDescription) else None
        problem = known if isinstance(known, str) else found.warning if found is not None else ""
        waits = known is None
        self.problem.render_line("clock" if waits else "warning", "muted" if waits else "warn",
                                 ASKING if waits else problem)  # fmt: skip
        answers = found is not None and found.reached
        self.inference.render_line("check" if answers else "", "good", "Its server answers." if answers else "")
        for line in (self.training, self.lora):
            line.render_line("", "", "")
        self.notes.render_line("info", "muted", "" if endpoint.capabilities is not None else NOT_PROBED_NOTE)
        self._render_facts(list_endpoint_facts(endpoint, found))
        self.capabilities.render_capabilities(endpoint.capabilities)

    def _render_facts(self, facts: Sequence[tuple[str, str]]) -> None:
        while len(self.cells) < len(facts):
            cells = make_label("", "muted"), wrap_anywhere(make_label("", wrap=True))
            # By the mouse alone: a stop of the Tab key at each value would be in the way.
            cells[1].setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            # Values fill their column: an aligned label that wraps is laid out narrower than its text.
            self._facts.addWidget(cells[0], len(self.cells), 0, Qt.AlignmentFlag.AlignTop)
            self._facts.addWidget(cells[1], len(self.cells), 1)
            self.cells.append(cells)
        for i, cells in enumerate(self.cells):
            for cell, text in zip(cells, facts[i] if i < len(facts) else ("", ""), strict=True):
                cell.setText(text)
                cell.setVisible(i < len(facts))
            cells[1].setAccessibleName(cells[0].text())


KINDS = {
    ModelKind.COMPACT: "of the bundled reasoner's family", ModelKind.BASE: "base model, without a chat template",
    ModelKind.INSTRUCT: "follows instructions", ModelKind.REASONING: "follows instructions and reasons first",
}  # fmt: skip
TEMPLATES = {
    NoteKind.NONE: "in its files", NoteKind.MISSING: "none",
    NoteKind.NO_SYSTEM_ROLE: "in its files, without a system role",
}  # fmt: skip


def list_facts(entry: ModelEntry, facts: ModelDescription | None) -> list[tuple[str, str]]:
    """Names and values, those that are known."""
    files = entry.files
    tied = {None: "", True: "shared with the embedding", False: "its own"}[files.tied_head]
    rows = [
        ("Architecture", files.architecture),
        ("Parameters", short_count(files.n_params) if files.n_params else ""),
        ("Weights", files.quantisation),
        ("Size", byte_size(entry.size_bytes) if entry.size_bytes else ""),
        ("Context", f"{format_count(files.n_ctx)} tokens" if files.n_ctx else ""),
        ("Vocabulary", f"{format_count(files.n_vocab)} tokens" if files.n_vocab else ""),
        ("Output head", tied),
        ("Base model", files.base),
    ]
    if facts is not None and facts.usable:
        rows += [
            ("Kind", KINDS[facts.kind]),
            ("Chat template", TEMPLATES.get(facts.template_note.kind, "cannot be used")),
            ("End tokens", ", ".join(map(str, facts.end_ids))),
            ("Licence", facts.licence or "not stated"),
        ]
    rows += [("Name", entry.id), ("Place", str(entry.path) if entry.id != str(entry.path) else "")]
    return [(name, value) for name, value in rows if value]


def list_endpoint_facts(endpoint: Endpoint, found: EndpointDescription | None) -> list[tuple[str, str]]:
    """Names and values, those that are known."""
    known, a_minute = endpoint.capabilities, endpoint.requests_per_minute
    rows = [
        ("Address", endpoint.base_url),
        ("Model", endpoint.model or "the server's only one"),
        ("Key", found.key_text if found is not None else ""),
        ("Price", price_text(endpoint.price)),
        ("Probed", probed_text(endpoint)),
        ("Context", f"{format_count(known.context)} tokens" if known is not None and known.context else ""),
        ("At a time", count_of(endpoint.concurrency, "request")),
        ("A minute", f"{count_of(a_minute, 'request')} at most" if a_minute else "no limit"),
        ("Time limit", f"{duration(endpoint.timeout_s)} a request"),
        ("Name", endpoint.argument),
    ]
    return [(name, value) for name, value in rows if value]


STATUS_WIDTH, BUTTON_WIDTH = 138, 112


class DownloadRow(Card):
    """One download: what is fetched, how far, and what can be done. Signals carry its id."""

    pauseRequested = Signal(str)
    resumeRequested = Signal(str)
    cancelRequested = Signal(str)
    openRequested = Signal(object)  # HubId

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("true", parent, padding=8)
        self.summary: DownloadSummary | None = None
        self.badge = Badge(STATUS_STYLES[RunStatus.STARTING])
        self.name, self.message = ElidedLabel(), ElidedLabel("muted", fill=True)
        self.figures, self.bar = make_label("", "small"), make_bar("Progress of the download")
        self.show_model = make_button("Show", "arrow-right", kind="quiet", clicked=self._on_show)
        self.pause = make_button("Pause", "pause", kind="quiet", clicked=self._on_pause)
        self.cancel = make_icon_button("close", "Cancel", clicked=self._on_cancel, destructive=True)
        middle = column(row(self.name, (self.message, 1), self.figures, spacing=SPACE_3), self.bar, spacing=SPACE_1)
        # Names and bars of all rows begin and end at the same places.
        left = QWidget()
        left.setFixedWidth(STATUS_WIDTH)
        row(self.badge, None, parent=left)
        for button in (self.show_model, self.pause):
            button.setFixedWidth(BUTTON_WIDTH)
        self.body.addLayout(row(left, (middle, 1), self.show_model, self.pause, self.cancel, spacing=SPACE_3))

    def render_summary(self, summary: DownloadSummary, *, busy: bool) -> None:
        self.summary = summary
        state, name = summary.state, str(summary.hub_id or summary.id)
        live = state is not None and state.status in LIVE
        finished = state is not None and state.status is RunStatus.FINISHED
        self.badge.render_style(download_style(state))
        self.name.setText(name)
        message, figures = describe_download(summary)
        self.message.setText(message)
        self.figures.setText(figures)
        self.bar.setVisible(state is not None and not finished)
        if state is not None:
            waits = live and (not state.total_bytes or state.stage == "linking")
            render_bar(self.bar, state.done_bytes, 0 if waits else max(1, state.total_bytes))
        self.show_model.setVisible(finished)
        # One button for both: a second press of the same key must not reach another button.
        self.pause.setVisible(state is not None and not finished)
        self.pause.setText("Pause" if live else "Resume")
        self.pause.setAccessibleName(f"{self.pause.text()} the download of {name}")
        set_icon(self.pause, "pause" if live else "resume", "text")
        for button in (self.pause, self.cancel):
            button.setEnabled(not busy)
        what = "Take it off this list" if finished else "Cancel and delete what was loaded"
        self.cancel.setToolTip(what)
        self.cancel.setAccessibleName(f"{what}: {name}")
        self.setAccessibleName(f"Download of {name}: {download_style(state).text}. {message} {figures}".strip())

    def _on_pause(self) -> None:
        if self.summary is not None and self.summary.state is not None:
            live = self.summary.state.status in LIVE
            (self.pauseRequested if live else self.resumeRequested).emit(self.summary.id)

    def _on_cancel(self) -> None:
        if self.summary is not None:
            self.cancelRequested.emit(self.summary.id)

    def _on_show(self) -> None:
        if self.summary is not None:
            self.openRequested.emit(self.summary.hub_id)


def download_style(state: DownloadState | None) -> BadgeStyle:
    if state is None:
        return BROKEN
    style = STATUS_STYLES[state.status]
    word = {RunStatus.RUNNING: "Downloading", RunStatus.STOPPED: "Paused", RunStatus.CRASHED: "Interrupted"}
    if state.status is RunStatus.STOPPED:
        style = STATUS_STYLES[RunStatus.PAUSED]
    return replace(style, text=word.get(state.status, style.text))


def describe_download(summary: DownloadSummary) -> tuple[str, str]:
    """What is going on or went wrong, and how far it is."""
    state = summary.state
    if state is None:
        return summary.problem, ""
    of = f"{byte_size(state.done_bytes)} of {byte_size(state.total_bytes)}" if state.total_bytes else ""
    rate = f"{byte_size(state.rate)}/s" if state.rate else ""
    left = f"about {duration(state.eta_s)} left" if state.eta_s is not None else ""
    if state.status is RunStatus.FINISHED:
        return "Ready to use", byte_size(state.total_bytes)
    if state.over:
        words = "" if state.paused else f"{state.message} {state.remedy}".strip()
        return words, "  ·  ".join(filter(None, (percent(state.share), of)))
    words = state.message or (f"checking {state.file}" if state.stage == "checking" else state.file)
    return words, "  ·  ".join(filter(None, (percent(state.share), of, rate, left)))


MAX_ROWS = 3
"""Downloads that are shown without scrolling."""


class DownloadList(QWidget):
    """The downloads, newest first; hidden while there is none."""

    pauseRequested = Signal(str)
    resumeRequested = Signal(str)
    cancelRequested = Signal(str)
    openRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Downloads")
        self.rows: dict[str, DownloadRow] = {}
        inside = QWidget()
        self._column = column(spacing=SPACE_2, parent=inside)
        self._area = scroll_area(inside)
        column(self._area, parent=self)
        self.hide()

    def render_downloads(self, summaries: Sequence[DownloadSummary], busy: Collection[str]) -> None:
        for id_ in [id_ for id_ in self.rows if id_ not in {s.id for s in summaries}]:
            gone = self.rows.pop(id_)
            self._column.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        for place, summary in enumerate(summaries):
            if summary.id not in self.rows:
                self.rows[summary.id] = made = DownloadRow()
                made.pauseRequested.connect(self.pauseRequested)
                made.resumeRequested.connect(self.resumeRequested)
                made.cancelRequested.connect(self.cancelRequested)
                made.openRequested.connect(self.openRequested)
                self._column.insertWidget(place, made)
            self.rows[summary.id].render_summary(summary, busy=summary.id in busy)
        shown = [self.rows[s.id].sizeHint().height() for s in summaries[:MAX_ROWS]]
        self._area.setFixedHeight(sum(shown) + SPACE_2 * max(0, len(shown) - 1))
        self.setVisible(bool(summaries))
