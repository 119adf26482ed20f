"""The models on this machine and the endpoints, found and described in other threads; shared by the Models page and the
pickers.

The services are imported there, too: the window is made before anybody looks at a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from seirenes_app.ui.tasks import Task, TaskRunner
from training.errors import UserError

if TYPE_CHECKING:
    from seirenes_app.services.models.endpoints import EndpointDescription
    from seirenes_app.services.models.facts import Fit, ModelDescription
    from seirenes_app.services.models.inventory import ModelEntry, SearchProgress

    Description = ModelDescription | EndpointDescription | str
    """What is known of a model, or why nothing is."""

FRESH_S = 15.0  # How long what was found counts as new
REPORT_S = 0.15  # Between two reports of what was found so far


@dataclass(frozen=True)
class Found:
    """What a search has found so far: models, their paths without links, whether they run here; where it looks, and
    what kept it from some place."""

    entries: tuple[ModelEntry, ...] = ()
    real_paths: tuple[Path, ...] = ()
    fits: tuple[Fit | None, ...] = ()
    place: str = ""
    problems: tuple[str, ...] = ()
    reached: Mapping[str, bool] = field(default_factory=dict)
    """Whether servers on this machine take connections, by the id of their endpoints."""


class ModelInventory(QObject):
    """`refresh` looks for models; `changed` follows whenever more are known. Before that `was_loaded` is False."""

    changed = Signal()
    described = Signal(object)  # ModelEntry

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # One thread walks folders, which may be slow, while the other describes what is selected.
        self._tasks = TaskRunner(self, threads=2)
        self.entries: tuple[ModelEntry, ...] = ()
        self.fits: dict[str, Fit | None] = {}  # By id
        self.reached: dict[str, bool] = {}  # Whether an endpoint answered when it was last tried, by id
        self._by_real_path: dict[Path, ModelEntry] = {}
        self.place, self.problems = "", tuple[str, ...]()
        self.was_loaded = self.scanning = False
        self._loaded_at = float("-inf")
        self._descriptions: dict[ModelEntry, Description] = {}

    def ensure_fresh(self) -> None:
        """Look for models, unless that was done a moment ago: runs and other programs add to them."""
        if not self.scanning and monotonic() - self._loaded_at > FRESH_S:
            self.refresh()

    def refresh(self) -> None:
        """Look for models again. Those that are known stay until the search has ended."""
        self.scanning = True
        self.changed.emit()
        self._tasks.run_task(find_all, self._on_found, progress=self._on_progress, key="find")

    def stop(self) -> None:
        """End the search; what it has found so far stays."""
        if self.scanning:
            self._tasks.cancel("find")
            self.was_loaded, self.scanning, self._loaded_at, self.place = True, False, monotonic(), ""
            self.changed.emit()

    def _on_progress(self, found: Found) -> None:
        self.place = found.place
        if not self.was_loaded:
            self._take(found)
        self.changed.emit()

    def _on_found(self, found: Found) -> None:
        self.was_loaded, self.scanning, self._loaded_at = True, False, monotonic()
        # A file that was replaced meanwhile is another entry: what was known of the old one is dropped.
        self._descriptions = {e: d for e, d in self._descriptions.items() if e in set(found.entries)}
        self._take(found)
        self.changed.emit()

    def _take(self, found: Found) -> None:
        self.entries, self.place, self.problems = found.entries, found.place, found.problems
        self.fits = {entry.id: fit for entry, fit in zip(found.entries, found.fits, strict=True)}
        self.reached |= found.reached
        self._by_real_path = dict(zip(found.real_paths, found.entries, strict=True))

    def description(self, entry: ModelEntry) -> Description | None:
        """All facts of a model, or why there are none; None until `describe` has read them."""
        return self._descriptions.get(entry)

    def describe(self, entry: ModelEntry, key: str = "describe") -> None:
        """Read all facts of a model; `described` follows. The latest call of a `key` wins."""
        if entry in self._descriptions:
            self.described.emit(entry)
        else:
            self._tasks.run(lambda: describe(entry), lambda found: self._on_described(entry, found), key=key)

    def _on_described(self, entry: ModelEntry, found: Description) -> None:
        self._descriptions[entry] = found
        self.described.emit(entry)

    def note_endpoint(self, entry: ModelEntry, *, reached: bool | None = None) -> None:
        """An endpoint answered, or did not, or its key changed: the rest is read again when it is wanted."""
        if reached is not None:
            self.reached[entry.id] = reached
        self._descriptions.pop(entry, None)
        self.changed.emit()

    def find(self, path: Path) -> ModelEntry | None:
        """The model of a path, or of a path without links: what is reached by several paths is listed once."""
        return next((e for e in self.entries if e.path == path), None) or self._by_real_path.get(path)

    def close(self) -> None:
        self._tasks.close()


def find_all(task: Task) -> Found:
    """All models, reported from time to time."""
    from seirenes_app.services.models.endpoints import is_reached
    from seirenes_app.services.models.facts import fit_for_inference
    from seirenes_app.services.models.inventory import endpoint_entries, find_models

    entries: list[ModelEntry] = []
    real_paths: list[Path] = []
    fits: list[Fit | None] = []
    reached: dict[str, bool] = {}
    place, problems, last = "", list[str](), monotonic()

    def found() -> Found:
        return Found(
            tuple(entries), tuple(real_paths), tuple(fits), place, tuple(dict.fromkeys(problems)), dict(reached)
        )

    def on_progress(progress: SearchProgress) -> None:
        nonlocal place, last
        place = str(progress.place)
        if progress.problem:
            problems.append(progress.problem)
        if monotonic() - last > REPORT_S:
            last = monotonic()
            task.report(found())

    try:
        for entry in endpoint_entries():
            entries.append(entry)
            real_paths.append(entry.path)
            fits.append(None)
            if entry.endpoint is not None and (answer := is_reached(entry.endpoint)) is not None:
                reached[entry.id] = answer
    except UserError as error:
        problems.append(str(error))
    for entry in find_models(lambda: task.cancelled, on_progress):
        entries.append(entry)
        real_paths.append(entry.path.resolve())
        fits.append(fit_for_inference(entry.files) if entry.usable else None)
    place = ""
    return found()


def describe(entry: ModelEntry) -> Description:
    from seirenes_app.services.models.endpoints import describe_endpoint
    from seirenes_app.services.models.facts import describe_model

    try:
        if entry.endpoint is not None:
            return describe_endpoint(entry.endpoint)
        return describe_model(entry)
    except UserError as error:
        return str(error)
