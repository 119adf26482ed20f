"""One opened run or evaluation: its tracks, their panels, its cross-play, and the rows behind a point.

Opening reads events and arrays, never all rows; a panel is computed when it is first asked for and kept until the
folder changes. Use it off the window's thread; one thread at a time.
"""

from __future__ import annotations

from pathlib import Path

from seirenes_app.services.robustness.checkpoint_figures import Measured, Trend, measure, trend_between
from seirenes_app.services.robustness.cross_play import cross_panel
from seirenes_app.services.robustness.generalisation import generalisation_panel, hint_splits, trained_types
from seirenes_app.services.robustness.panels import TRACK_PANELS, View, adversary_panel
from seirenes_app.services.robustness.rows import problem_and_hint, read_traces
from seirenes_app.services.robustness.sources import Source, folder_stamp, open_source
from seirenes_app.services.robustness.types import Chart, MatrixPanel, Origin, Panel, Trace, TraceRef, Track
from training.core.prompts import Placement
from training.core.types import Hint, Problem
from training.errors import NotReadyError, UserError
from training.evaluation.outcome_arrays import OutcomeArrays


class ResultSource:
    """Where the figures of one folder come from. A UserError where it has none yet, with what to do."""

    def __init__(self, root: Path) -> None:
        self._root = Path(root)
        self._stamp = folder_stamp(self._root)
        self.source: Source = open_source(self._root)
        self._measured: dict[str, tuple[Measured, ...]] = {}
        self._trends: dict[str, Trend | None] = {}
        self._panels: dict[tuple[str, Chart], Panel] = {}
        self._matrix: tuple[MatrixPanel | None] | None = None

    @property
    def tracks(self) -> tuple[Track, ...]:
        """One set of charts each. Empty for an evaluation that is all cross-play."""
        return self.source.tracks

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing or damaged, in words."""
        return self.source.warnings

    def grown(self) -> bool:
        """Whether the folder changed since it was opened or last refreshed: then `refresh`. Cheap; for a timer."""
        return folder_stamp(self._root) != self._stamp

    def refresh(self) -> None:
        """Read what is new, and forget the panels."""
        self._stamp = folder_stamp(self._root)
        self.source = open_source(self._root)
        self._measured, self._trends, self._panels, self._matrix = {}, {}, {}, None

    # ------------------------------------------------------------------ panels

    def charts(self, track: Track) -> tuple[Chart, ...]:
        """The charts of a track, in order; the moving adversary's only for a run's own."""
        moving = (Chart.ADVERSARY,) if track.origin is Origin.RUN else ()
        return (Chart.ACCURACY, *moving, *(c for c in TRACK_PANELS if c is not Chart.ACCURACY), Chart.GENERALISATION)

    def panel(self, track: Track, chart: Chart) -> Panel:
        """One chart of a track. A UserError for a chart that it has not."""
        key = track.key, chart
        if key not in self._panels:
            self._panels[key] = self._make(track, chart)
        return self._panels[key]

    def panels(self, track: Track) -> tuple[Panel, ...]:
        """All of them, in order."""
        return tuple(self.panel(track, chart) for chart in self.charts(track))

    def _make(self, track: Track, chart: Chart) -> Panel:
        if chart in TRACK_PANELS:
            return TRACK_PANELS[chart].make(chart, View(track, self.measured(track), self.trend(track)))
        if chart is Chart.GENERALISATION:
            x_label = "step" if track.by_step else "place"
            splits, trained = hint_splits(self.source), trained_types(self.source, track.run)
            return generalisation_panel(track, self.source.cells, splits, trained, x_label)
        state, config = self.source.state, self.source.config
        if chart is Chart.ADVERSARY and state is not None:
            return adversary_panel(state.history, config.rollout.questions if config else 0)
        raise UserError(f"{track.title} has no chart {str(chart)!r}. It has: {', '.join(self.charts(track))}.")

    def crossplay(self) -> MatrixPanel | None:
        """The matrix; None where the source has none."""
        if self._matrix is None:
            plan = self.source.plan
            self._matrix = (None if plan is None else cross_panel(self.source.root, plan, self.source.cells),)
        return self._matrix[0]

    # ------------------------------------------------------------------ what they are made of

    def measured(self, track: Track) -> tuple[Measured, ...]:
        """The figures of every checkpoint that has any; a UserError where none has."""
        if track.key not in self._measured:
            found = measure(self.source, track)
            if not found:
                raise NotReadyError(f"{track.title} has no figures yet. They come with its first chunk.")
            self._measured[track.key] = found
        return self._measured[track.key]

    def trend(self, track: Track) -> Trend | None:
        """First checkpoint against last; None for one alone, and for models that have no order."""
        if track.key not in self._trends:
            found = self.measured(track)
            trend = None
            if track.by_step and len(found) > 1:
                first, last = found[0], found[-1]
                trend = trend_between(
                    self.cells(track, first.target), self.cells(track, last.target), (first.label, first.figures),
                    (last.label, last.figures),
                )  # fmt: skip
            self._trends[track.key] = trend
        return self._trends[track.key]

    def cells(self, track: Track, target: str) -> OutcomeArrays:
        """The cells of one checkpoint on the track's suite; none where its rows are gone."""
        return self.source.cells.where(target=target, suite=track.suite)

    # ------------------------------------------------------------------ rows

    def traces(self, ref: TraceRef, limit: int = 200, offset: int = 0) -> list[Trace]:
        """The rows behind a point or a cell of the matrix, in the order of the suite."""
        return read_traces(self.source.store, ref, limit, offset)

    def question(self, track: Track, trace: Trace) -> tuple[Problem, Hint | None, Placement] | None:
        """What a trace asked, for checkpoint replay; None where its problem is not known any more."""
        return problem_and_hint(self.source.store, track, trace)
