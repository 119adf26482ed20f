"""Small deeds of the page that need no widget: who can be compared, what a slice is called, the report's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seirenes_app.lab.evaluations import EvaluationSummary
from seirenes_app.lab.report.document import report_of
from seirenes_app.lab.report.page import report_html
from seirenes_app.lab.robustness.values import Point, TraceRef
from seirenes_app.lab.verdicts import MODE_WORDS
from seirenes_app.store.workspace import data_folder
from seirenes_app.ui.pages.robustness_parts.compare_view import Contender
from seirenes_app.ui.pages.robustness_parts.source_chooser import evaluation_name
from seirenes_app.ui.widgets.source_menu import RECORDED_NAME
from training.core.types import Stage
from training.evaluation.rows import Condition
from training.rundir.disk import write_whole
from training.rundir.index import RunSummary
from training.rundir.paths import RunPaths
from training.rundir.rollout_query import RolloutQuery

CONDITION_WORDS = {Condition.CLEAN: "Clean", Condition.HINTED: "Hinted", Condition.PLACEBO: "Placebo"}


def contenders(
    runs: Sequence[RunSummary], evaluations: Sequence[EvaluationSummary], recorded: RunPaths | None
) -> tuple[Contender, ...]:
    """Runs that have evaluated themselves, evaluations with rows on a suite, and the recorded run."""
    found = [
        Contender(s.paths.root, s.paths.run_id, MODE_WORDS.get(s.config.mode, "") if s.config is not None else "")
        for s in runs
        if s.state is not None and s.state.evals
    ]
    found += [
        Contender(e.paths.root, evaluation_name(e), "evaluation")
        for e in evaluations
        if e.state is not None and e.state.rows and not is_cross(e)
    ]
    if recorded is not None and recorded.events.is_file():
        found.append(Contender(recorded.root, RECORDED_NAME, ""))
    return tuple(found)


def is_cross(summary: EvaluationSummary, run: RunPaths | None = None) -> bool:
    """Whether an evaluation is a cross-play, and of that run where one is named."""
    plan = summary.plan
    if plan is None or not any(s.writer for s in plan.suites):
        return False
    return run is None or any(t.run == run.run_id for t in plan.targets)


def say_slice(ref: TraceRef) -> str:
    """What rows behind a point are called."""
    kind = f", {ref.hint_type.replace('_', ' ')}" if ref.hint_type is not None else ""
    return f"{CONDITION_WORDS[ref.condition]}{kind}  ·  {ref.target}"


def rollouts_behind(key: str, point: Point) -> RolloutQuery:
    """The rollouts of a training step's point."""
    stage = Stage.CLEAN if key == "clean" else Stage.HINTED
    return RolloutQuery(steps=(point.x, point.x), stages=(str(stage),))


def reports_folder() -> Path:
    """Where the page's reports go."""
    return data_folder() / "reports"


def write_report(roots: Sequence[Path]) -> Path:
    """The report of these folders as one HTML file. A UserError where one of them has no figures."""
    text = report_html(report_of(roots))
    folder = reports_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{roots[0].resolve().name}-robustness.html"
    write_whole(path, text)
    return path
