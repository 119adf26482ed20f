"""The panels of a track: each chart with its curves, caption, note and table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seirenes_app.services.robustness import captions as words
from seirenes_app.services.robustness.checkpoint_figures import (
    TYPE_WORDS,
    Measured,
    Trend,
    curve,
    filled,
    is_exact,
    table_of,
)
from seirenes_app.services.robustness.types import Basis, Chart, Curve, DataTable, Panel, Point, Track, Unit
from training.core.statistics import Interval
from training.core.types import HintType
from training.runs.status import History

BANDS = "Bands are 95% intervals over problems."
CLOSED = " Those of differences are in closed form, as there are many checkpoints."
COUNTED = (
    " Hollow points have only their totals left: their bands count each problem once, which makes them wider than need "
    "be."
)


@dataclass(frozen=True, slots=True)
class View:
    """What the panels of a track are made from. `x_label` names the axis."""

    track: Track
    measured: tuple[Measured, ...]
    trend: Trend | None

    @property
    def x_label(self) -> str:
        """'step', or 'place' for models that have none."""
        return "step" if self.track.by_step else "place"

    @property
    def bands(self) -> str:
        """How to read the bands."""
        closed = "" if is_exact(self.track) else CLOSED
        return BANDS + closed + (COUNTED if any(m.basis is Basis.COUNTS for m in self.measured) else "")

    def curves(self, prefix: str, *, types: bool = True, placebo: str = "placebo") -> tuple[Curve, ...]:
        """Hinted, each type, and the placebo, of figures `prefix/…` (or accuracies without one)."""
        start = f"{prefix}/" if prefix else ""
        found = [curve(self.track, self.measured, f"{start}hinted", "hinted, all types", name="hinted")]
        if types:
            found += [
                curve(self.track, self.measured, f"{start}type:{t}", TYPE_WORDS[t], name=f"type:{t}") for t in HintType
            ]
        found.append(curve(self.track, self.measured, f"{start}placebo", placebo, name="placebo", beside=True))
        return filled(found)

    def panel(
        self, chart: Chart, title: str, unit: Unit, curves: tuple[Curve, ...], sentence: str, note: str,
        table: DataTable | None = None, *, stacked: bool = False,
    ) -> Panel:  # fmt: skip
        """A panel on this track's axis."""
        return Panel(
            chart, title, unit, curves, sentence, note, table or table_of(curves, self.x_label), self.x_label, stacked
        )


def accuracy_panel(view: View) -> Panel:
    """Clean, hinted, each type, placebo on the frozen suite."""
    curves = filled([curve(view.track, view.measured, "clean", "clean"), *view.curves("")])
    note = (
        f"The same {view.track.problems:,} problems and texts at every checkpoint ({view.track.suite}, "
        f"{view.track.asking}), so points can be compared. A placebo is neutral words of a hint's length. {view.bands}"
    )
    told = words.accuracy_words(view.measured, view.trend)
    return view.panel(Chart.ACCURACY, "Accuracy on the frozen suite", Unit.SHARE, curves, told, note)


def gap_panel(view: View) -> Panel:
    """Clean − hinted, paired by problem."""
    note = f"Above zero: worse with the text than without it. Paired by problem. {view.bands}"
    told = words.gap_words(view.measured, view.trend) or _nothing("the suite was not asked both clean and hinted")
    return view.panel(Chart.GAP, "Paired gap, clean − hinted", Unit.DIFFERENCE, view.curves("gap"), told, note)


FLIPS = (
    ("right", "right both times"), ("helpful", "helpful: wrong clean, right hinted"),
    ("harmful", "harmful: right clean, wrong hinted"), ("wrong", "wrong both times"),
)  # fmt: skip


def flips_panel(view: View) -> Panel:
    """What a hint turns."""
    curves = filled(curve(view.track, view.measured, f"{n}/hinted", label, name=n) for n, label in FLIPS)
    beside = filled(
        curve(view.track, view.measured, f"{n}/placebo", f"placebo, {label.replace('hinted', 'with it')}")
        for n, label in FLIPS
    )
    note = (
        "A pair is a hinted answer and the same problem's clean one. Sampling flips answers both ways too: the table "
        f"has the placebos' flips to compare with. {view.bands}"
    )
    told = words.flip_words(view.measured) or _nothing("the suite was not asked both clean and hinted")
    table = table_of((*curves, *beside), view.x_label)
    return view.panel(Chart.FLIPS, "What a hint changes", Unit.SHARE, curves, told, note, table, stacked=True)


def worst_panel(view: View) -> Panel:
    """Right under all hints of a problem, beside its placebos."""
    hinted = curve(
        view.track, view.measured, "worst/hinted", "right under all hints", name="hinted", p_from="effect/placebo"
    )
    beside = [
        curve(view.track, view.measured, "worst/placebo", "under as many placebos", name="placebo", beside=True),
        curve(view.track, view.measured, "worst/clean", "in as many clean resamples", name="clean", beside=True),
    ]
    effects = [
        curve(view.track, view.measured, "effect/placebo", "placebo − hinted", name="effect"),
        curve(view.track, view.measured, "effect/clean", "resampled − hinted", name="effect_clean"),
    ]
    curves = filled([hinted, *beside])
    note = (
        "k chances to fail are harder than one, whatever is added: only the distance to the placebo tells of an "
        f"attack. p: sign flips over problems. {view.bands}"
    )
    told = words.worst_words(view.measured) or _nothing("the suite has no hints")
    table = table_of((*curves, *filled(effects)), view.x_label)
    return view.panel(Chart.WORST_OF_K, "Worst of k, beside its placebo", Unit.SHARE, curves, told, note, table)


def drop_panel(view: View) -> Panel:
    """Performance drop rate."""
    note = f"1 − hinted / clean: 0 loses nothing, 1 loses all, below 0 hints help. {view.bands}"
    told = words.drop_words(view.measured) or _nothing("nothing is right clean, or it was not asked")
    curves = view.curves("drop", types=False)
    return view.panel(Chart.DROP_RATE, "Performance drop rate", Unit.SHARE, curves, told, note)


def follow_panel(view: View) -> Panel:
    """How often the answer is the suggested one."""
    note = f"Over hints that suggest a wrong answer. {BANDS}"
    told = words.follow_words(view.measured) or _nothing("no hint of the suite suggests an answer, or rows are gone")
    return view.panel(Chart.FOLLOW_RATE, "Follow rate", Unit.SHARE, view.curves("follow"), told, note)


def _nothing(why: str) -> str:
    return f"There is nothing to show: {why}."


TRACK_PANELS: dict[Chart, Callable[[View], Panel]] = {
    Chart.ACCURACY: accuracy_panel,
    Chart.GAP: gap_panel,
    Chart.FLIPS: flips_panel,
    Chart.WORST_OF_K: worst_panel,
    Chart.DROP_RATE: drop_panel,
    Chart.FOLLOW_RATE: follow_panel,
}


# ---------------------------------------------------------------------- the moving adversary


def adversary_panel(history: History, questions: int) -> Panel:
    """The accuracies of the training steps themselves, kept apart from the frozen suite."""
    curves = filled(
        Curve(key, label, _step_points(history, key, questions))
        for key, label in (("hinted", "hinted, that step's Adversary"), ("clean", "clean, that step's problems"))
    )
    note = (
        "NOT COMPARABLE from step to step: the Adversary and the problems change with every one, and so what is hard. "
        "Bands take the rollouts of one question together."
    )
    hinted = next((c for c in curves if c.key == "hinted"), None)
    if hinted is None:
        told = _nothing("no step was hinted yet")
    else:
        first, last = hinted.points[0], hinted.points[-1]
        told = words.adversary_words((first.x, first.value.mean), (last.x, last.value.mean))
    title = "Against the current Adversary (not comparable over steps)"
    return Panel(Chart.ADVERSARY, title, Unit.SHARE, curves, told, note, table_of(curves, "step"))


def _step_points(history: History, key: str, questions: int) -> tuple[Point, ...]:
    series = [dict(zip(*history.series(f"{key}_{part}"), strict=True)) for part in ("accuracy", "low", "high")]
    return tuple(
        Point(
            step, f"step {step}", Interval(mean, series[1].get(step, mean), series[2].get(step, mean)), questions, 0,
            Basis.STEP,
        )
        for step, mean in series[0].items()
    )  # fmt: skip


def ordered(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """In the order of `Chart`."""
    places = list(Chart)
    return tuple(sorted(panels, key=lambda p: places.index(p.chart)))
