"""Asking before work on an endpoint that may cost much, and the limits above which is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDoubleSpinBox, QSpinBox, QWidget

from seirenes_app.services.formatting import count_of, money
from seirenes_app.services.models.endpoints import estimate_text, must_ask
from seirenes_app.store.settings import Settings
from seirenes_app.ui.theme import SPACE_2, SPACE_4
from seirenes_app.ui.widgets.boxes import fill, ignore_wheel, make_grid
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, PageDialog
from seirenes_app.ui.widgets.labels import make_label
from training.endpoints import CostEstimate
from training.errors import UserError

FIELD_WIDTH = 120


def read_settings() -> Settings:
    """The settings as they are now; the defaults where they cannot be read, which the start of the window says."""
    try:
        return Settings.load()
    except UserError:
        return Settings()


def ask_cost(
    found: CostEstimate | None, verb: str, parent: QWidget, then: Callable[[], object]
) -> ConfirmDialog | None:
    """Call `then`, at once where the work is below the limits of the settings, else after a person agreed. None for
    work that costs nothing."""
    if found is None or not must_ask(found, read_settings()):
        then()
        return None
    most = found.at_most if found.at_most is not None else found.cost
    many = count_of(found.requests, "request")
    title = f"Spend up to {money(most, found.currency)}?" if most is not None else f"Send {many}?"
    limit = (
        "No price is set, so the cost is not known."
        if found.cost is None
        else "The price is the one that you set for the endpoint; the bill is the server's."
    )
    text = f"This takes {estimate_text(found)}. {limit} When to ask is in the settings of the File menu."
    dialog = ConfirmDialog(title, text, verb, parent, kind="primary")
    dialog.accepted.connect(lambda: then())
    dialog.finished.connect(lambda _code: dialog.deleteLater())
    dialog.open()
    return dialog


class SettingsDialog(PageDialog):
    """What is asked before work on an endpoint starts. Emits the changed settings."""

    changed = Signal(object)  # Settings

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__("Settings", parent)
        self._settings = settings
        self.cost = QDoubleSpinBox(decimals=2, maximum=1_000_000, singleStep=0.5, value=settings.ask_cost)
        self.cost.setAccessibleName("Ask above this cost")
        self.requests = QSpinBox(maximum=100_000_000, singleStep=50, value=settings.ask_requests)
        self.requests.setAccessibleName("Ask above this number of requests")
        grid = make_grid(gaps=(SPACE_4, SPACE_2), stretched=2)
        for at, (name, field, unit) in enumerate((
            ("With a price", self.cost, "in the endpoint's currency"), ("Without a price", self.requests, "requests"),
        )):  # fmt: skip
            field.setFixedWidth(FIELD_WIDTH)
            ignore_wheel(field)
            grid.addWidget(make_label(name), at, 0)
            grid.addWidget(field, at, 1)
            grid.addWidget(make_label(unit, "muted"), at, 2)
        about = "Work on an endpoint that may take more than this is asked about before it starts. 0 asks each time."
        heading = make_label("Cost of endpoints", "heading")
        fill(self.body, SPACE_2, heading, make_label(about, "muted", wrap=True), SPACE_2, grid)
        self.save = make_button("Save", kind="primary", clicked=self._save)
        self.save.setDefault(True)
        fill(self.buttons, None, make_button("Cancel", clicked=self.reject), self.save)
        self.cost.setFocus()

    def _save(self) -> None:
        self.changed.emit(
            replace(self._settings, ask_cost=round(self.cost.value(), 2), ask_requests=self.requests.value())
        )
        self.accept()
