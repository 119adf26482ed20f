"""One opened run or evaluation: tracks, panels, cross-play, and the rows behind a point. Panels are computed when first
asked for and kept until the folder changes. Use it off the window's thread, one thread at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seirenes_app.services.robustness.checkpoint_figures import Measured, Trend, measure, trend_between
from seirenes_app.services.robustness.cross_play import cross_panel
from seirenes_app.services.robustness.generalisation import generalisation_panel, hint_splits, trained_types
from seirenes_app.services.robustness.panels import TRACK_PANELS, View, adversary_panel, cpu_seconds
from seirenes_app.services.robustness.sources import Source, folder_stamp, open_source
from seirenes_app.services.robustness.types import Chart, MatrixPanel, Origin, Panel, Trace, TraceRef, Track
from training.core.prompts import Placement
from training.core.types import Hint, Problem
from training.errors import NotReadyError, UserError
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.store import PromptText, TraceRow
from training.evaluation.store_reader import StoreReader

_PAGE = 500


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
        return self.source.tracks

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.source.warnings

    def grown(self) -> bool:
        """Whether the folder changed since it was opened or last refreshed: then `refresh`. Cheap; for a timer."""
        return folder_stamp(self._root) != self._stamp

    def refresh(self) -> None:
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
            self._panels[key] = self._timed(track, chart, self._make(track, chart))
        return self._panels[key]

    def panels(self, track: Track) -> tuple[Panel, ...]:
        return tuple(self.panel(track, chart) for chart in self.charts(track))

    def _timed(self, track: Track, chart: Chart, panel: Panel) -> Panel:
        """With the processor seconds of its steps, for the figures of a run's own checkpoints."""
        state = self.source.state
        if chart is Chart.ADVERSARY or track.origin is not Origin.RUN or not track.by_step or state is None:
            return panel
        return replace(panel, cpu_s=cpu_seconds(state.history))

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
        with StoreReader(self.source.store.rows) as reader:
            rows = reader.traces(
                target=ref.target, suite=ref.suite, condition=ref.condition, hint_type=ref.hint_type, limit=limit,
                offset=offset,
            )  # fmt: skip
        return [_as_trace(row) for row in rows]

    def question(self, track: Track, trace: Trace) -> tuple[Problem, Hint | None, Placement] | None:
        """What a trace asked, for checkpoint replay; None where its problem is not known any more."""
        with StoreReader(self.source.store.rows) as reader:
            offset = 0
            while found := reader.traces(
                target=trace.target, suite=track.suite, condition=trace.condition, limit=_PAGE, offset=offset
            ):
                for row in found:
                    if row.problem.id == trace.problem_id and row.row.key.index == trace.index:
                        return (row.problem, _hint(row.prompt), row.placement) if row.problem.question else None
                offset += len(found)
        return None


def _as_trace(found: TraceRow) -> Trace:
    row, problem, prompt = found.row, found.problem, found.prompt
    # Needed text is a question in another order, and no hint.
    asked = (prompt.text or problem.question, "") if prompt.index < 0 else (problem.question, prompt.text)
    return Trace(
        row.key.target, problem.id, problem.family, row.key.condition, row.key.index, str(prompt.hint_type or ""),
        *asked, problem.answer, row.completion, row.outcome, row.follows, row.truncated,
        row.answer, row.tier, row.reader,
    )  # fmt: skip


def _hint(prompt: PromptText) -> Hint | None:
    if prompt.hint_type is None:
        return None
    return Hint(prompt.hint_type, prompt.text, template=prompt.author, suggested=prompt.suggested)
