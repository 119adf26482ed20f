"""The models on this machine as a table, filtered and sorted, and how a model is named and marked in the window."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QColor, QIcon

from seirenes_app.services.formatting import byte_size, format_count
from seirenes_app.services.models.facts import Fit, FitLevel, ModelFormat
from seirenes_app.services.models.inventory import SOURCE_NAMES, ModelEntry, ModelSource
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.icons import icon
from seirenes_app.ui.theme import current_theme
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.table_model import Column, TableModel
from training.endpoints import Endpoint

SOURCE_ICONS = {
    ModelSource.BUNDLED: "models", ModelSource.CHECKPOINT: "train", ModelSource.FOLDER: "folder",
    ModelSource.HUB_CACHE: "disk", ModelSource.LM_STUDIO: "chip",
    ModelSource.LLAMA_CPP: "chip", ModelSource.OLLAMA: "chip", ModelSource.ENDPOINT: "server",
}  # fmt: skip
FORMATS = {
    ModelFormat.FOLDER: "Folder", ModelFormat.GGUF: "GGUF", ModelFormat.ADAPTER: "Adapter",
    ModelFormat.ENDPOINT: "Server",
}  # fmt: skip
FITS = {
    FitLevel.YES: BadgeStyle("check", "Fits", "good"),
    FitLevel.TIGHT: BadgeStyle("warning", "Tight", "warn"),
    FitLevel.NO: BadgeStyle("error", "Too large", "bad"),
}
UNUSABLE, UNKNOWN = BadgeStyle("warning", "Unusable", "muted"), BadgeStyle("", "", "muted")
ANSWERS, SILENT = BadgeStyle("check", "Answers", "good"), BadgeStyle("error", "No answer", "bad")
PROBED, NOT_PROBED = BadgeStyle("check", "Probed", "good"), BadgeStyle("silent", "Not probed", "muted")


def source_name(source: ModelSource) -> str:
    # "Folder" is a format here.
    name = "added" if source is ModelSource.FOLDER else SOURCE_NAMES[source]
    return name[:1].upper() + name[1:] if name != "llama.cpp" else name


def fit_style(fit: Fit | None) -> BadgeStyle:
    return FITS[fit.level] if fit is not None else UNKNOWN


def endpoint_style(endpoint: Endpoint, reached: bool | None) -> BadgeStyle:
    """Whether an endpoint answers, or answered when it was probed; `reached` is None where nobody has tried."""
    if reached is not None:
        return ANSWERS if reached else SILENT
    return PROBED if endpoint.capabilities is not None else NOT_PROBED


def search_text(entry: ModelEntry) -> str:
    """What a search for a model looks at."""
    place = f"{entry.endpoint.base_url} {entry.endpoint.model}" if entry.endpoint is not None else entry.path
    return f"{entry.name} {entry.id} {source_name(entry.source)} {FORMATS[entry.format]} {place}".casefold()


class ModelColumn(IntEnum):
    """Columns of the table, in order."""

    NAME = 0
    SOURCE = 1
    FORMAT = 2
    SIZE = 3
    CONTEXT = 4
    FIT = 5


class ModelsModel(TableModel):
    """Rows are `ModelEntry`: those of the inventory that match the filter."""

    def __init__(self, inventory: ModelInventory, parent: QObject | None = None) -> None:
        self._inventory = inventory
        super().__init__(self._make_columns(), parent)
        self._words: list[str] = []
        self._source: ModelSource | None = None
        self._show_unusable = False
        self.hidden = 0  # Unusable models that match the filter and are not shown
        self.render_order(ModelColumn.NAME, descending=False)

    def _make_columns(self) -> tuple[Column, ...]:
        def column(
            sort: ModelColumn, title: str, text: Callable[[ModelEntry], str], width: int = 0, tip: str = "", *,
            right: bool = False, picture: Callable[[ModelEntry], QIcon | None] | None = None, hidden_below: int = 0,
        ) -> Column:  # fmt: skip
            roles: dict[int, Callable[[Any], Any]] = {int(Qt.ItemDataRole.ForegroundRole): _colour_of}
            if picture is not None:
                roles[int(Qt.ItemDataRole.DecorationRole)] = picture
            return Column(title, text, width, tip, _tip_of, right, sort, hidden_below, roles)

        return (
            column(ModelColumn.NAME, "Model", _name_of, picture=lambda e: icon(SOURCE_ICONS[e.source], "muted")),
            column(ModelColumn.SOURCE, "Source", lambda e: source_name(e.source), 176, hidden_below=840),
            column(ModelColumn.FORMAT, "Format", _format_of, 132, "Kind of files, with quantisation or number type"),
            column(ModelColumn.SIZE, "Size", _size_of, 82, "All its files", right=True),
            column(ModelColumn.CONTEXT, "Context", lambda e: format_count(e.files.n_ctx) if e.files.n_ctx else "", 96,
                   "Tokens it was trained on", right=True, hidden_below=720),
            column(ModelColumn.FIT, "Here", lambda e: self.style_of(e).text, 130,
                   "Whether it runs on this machine; whether an endpoint answers", picture=self._fit_icon),
        )  # fmt: skip

    def style_of(self, entry: ModelEntry) -> BadgeStyle:
        """Whether a model can be used on this machine."""
        if entry.endpoint is not None:
            return endpoint_style(entry.endpoint, self._inventory.reached.get(entry.id))
        return fit_style(self._inventory.fits.get(entry.id)) if entry.usable else UNUSABLE

    def _fit_icon(self, entry: ModelEntry) -> QIcon | None:
        style = self.style_of(entry)
        return icon(style.icon, style.tone) if style.icon else None

    def render_filter(self, text: str, source: ModelSource | None, *, unusable: bool) -> None:
        """Show the models with all words of `text` in their name, source or path; of one source, None for all."""
        self._words, self._source, self._show_unusable = text.casefold().split(), source, unusable
        self.render()

    def render_order(self, column: ModelColumn, *, descending: bool) -> None:
        self.render_sort(column, descending=descending)
        self.render()

    @property
    def order(self) -> tuple[ModelColumn, bool]:
        """The column that is sorted by, and whether it descends."""
        return self._sort, self._descending

    def render(self) -> None:
        """Take what the inventory has now."""
        found = [e for e in self._inventory.entries if self._matches(e)]
        shown = [e for e in found if e.usable or self._show_unusable]
        self.hidden = len(found) - len(shown)
        shown.sort(key=self._sort_key, reverse=self._descending)
        self.render_rows(shown, key=lambda entry: entry.id)

    def _matches(self, entry: ModelEntry) -> bool:
        if self._source is not None and entry.source != self._source:
            return False
        text = search_text(entry)
        return all(word in text for word in self._words)

    def _sort_key(self, entry: ModelEntry) -> Any:
        name = entry.name.casefold()
        match self._sort:
            case ModelColumn.SIZE:
                return entry.size_bytes, name
            case ModelColumn.CONTEXT:
                return entry.files.n_ctx, name
            case ModelColumn.FIT:
                fit = self._inventory.fits.get(entry.id)
                return fit.needed_bytes if fit is not None else 0, name
            case ModelColumn.NAME:
                # The bundled one first: everybody has it.
                return entry.source is not ModelSource.BUNDLED, name
        return self.columns[self._sort].text(entry), name

    def row_of(self, id_: str) -> int:
        """The row of a model, -1 where it is not shown."""
        return next((i for i, entry in enumerate(self.rows) if entry.id == id_), -1)


def _name_of(entry: ModelEntry) -> str:
    return entry.name if entry.usable else f"{entry.name}  ·  {entry.problem}"


def _format_of(entry: ModelEntry) -> str:
    return f"{FORMATS[entry.format]}  {entry.files.quantisation}".rstrip()


def _size_of(entry: ModelEntry) -> str:
    return byte_size(entry.size_bytes) if entry.endpoint is None else ""


def _tip_of(entry: ModelEntry) -> str:
    if entry.endpoint is not None:
        return f"{entry.name}\n{entry.endpoint.model} at {entry.endpoint.base_url}"
    return "\n".join(filter(None, (entry.name, str(entry.path), entry.problem)))


def _colour_of(entry: ModelEntry) -> QColor | None:
    return None if entry.usable else current_theme().colour("muted")
