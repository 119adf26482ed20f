"""The panels of a track: each chart with its curves, its sentence, a note on reading it, and its table. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from seirenes_app.services.answer_reading import describe_unread, no_effect, unread_warnings
from seirenes_app.services.formatting import (
    describe_change,
    describe_unpaired_change,
    is_clear,
    p_clause,
    percent,
    percent_interval,
    points_interval,
    sentence,
)
from seirenes_app.services.robustness.checkpoint_figures import (
    TYPE_LABELS,
    Measured,
    Trend,
    curve,
    filled,
    is_exact,
    robustness_claim,
    table_of,
)
from seirenes_app.services.robustness.figures import Figure
from seirenes_app.services.robustness.types import Basis, Chart, Curve, DataTable, Panel, Point, Track, Unit, Value
from training.core.statistics import Interval
from training.core.types import HintType
from training.evaluation.metric_types import UnreadShares
from training.runs.status import History

BANDS = "Bands are 95% intervals over problems."
CLOSED_FORM = " Those of differences are in closed form, as there are many checkpoints."
TOTALS_ONLY = (
    " Of hollow points only the totals are here: their bands count each problem once, which makes them wider than need "
    "be."
)
FLIPS = (
    ("right", "right both times"), ("helpful", "helpful: not right clean, right hinted"),
    ("harmful", "harmful: right clean, not right hinted"), ("wrong", "right neither time"),
)  # fmt: skip
NAMES = {
    "hinted": "hinted accuracy", "clean": "clean accuracy", "placebo": "placebo accuracy", "needed": "needed accuracy",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """What the panels of a track are made from."""

    track: Track
    measured: tuple[Measured, ...]
    trend: Trend | None

    @property
    def x_label(self) -> str:
        return "step" if self.track.by_step else "place"

    @property
    def bands(self) -> str:
        closed = "" if is_exact(self.track) else CLOSED_FORM
        return BANDS + closed + (TOTALS_ONLY if any(m.basis is Basis.COUNTS for m in self.measured) else "")

    def curve(self, key: str, label: str, name: str = "", *, beside: bool = False, p_from: str = "") -> Curve:
        return curve(self.track, self.measured, key, label, name=name, beside=beside, p_from=p_from)

    def curves(self, prefix: str, *, types: bool = True) -> list[Curve]:
        """Hinted, each hint type, and the placebo, of figures `prefix…`."""
        of_types = [self.curve(f"{prefix}type:{t}", TYPE_LABELS[t], f"type:{t}") for t in HintType] if types else []
        placebo = self.curve(f"{prefix}placebo", "placebo", "placebo", beside=True)
        return [self.curve(f"{prefix}hinted", "hinted, all types", "hinted"), *of_types, placebo]

    @property
    def unread(self) -> dict[str, UnreadShares]:
        """The shares of answers that were not graded at the last checkpoint, by the condition's name."""
        figures = self.measured[-1].figures
        return {k: f.unread for k in NAMES if (f := figures.get(k)) is not None and f.unread is not None}

    def withheld(self) -> str:
        """Why effects are missing: the checkpoints at which most answers could not be graded."""
        found = []
        for m in self.measured:
            mostly = {k: f.unread for k in NAMES if (f := m.figures.get(k)) is not None and f.unread is not None}
            if text := no_effect(mostly):
                found.append((m.label, text))
        if not found:
            return ""
        more = f" The same holds at {len(found) - 1} more." if len(found) > 1 else ""
        return f"At {found[-1][0]}: {found[-1][1]}{more}"

    def ends(self, key: str) -> list[tuple[str, Figure]]:
        """First and last checkpoint that have the figure; one entry where it is the same."""
        found = [(m.label, m.figures[key]) for m in self.measured if key in m.figures]
        return found if len(found) < 2 else [found[0], found[-1]]


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """One kind of panel. `missing` is said where `caption` has nothing to say; `more` are curves of the table alone."""

    title: str
    note: str
    caption: Callable[[View], str]
    curves: Callable[[View], Sequence[Curve]]
    missing: str = ""
    unit: Unit = Unit.SHARE
    more: Callable[[View], Sequence[Curve]] = field(default=lambda _view: ())
    stacked: bool = False
    effect: bool = True
    """Whether it shows an effect, which is claimed only where most answers were graded."""

    def make(self, chart: Chart, view: View) -> Panel:
        curves = filled(self.curves(view))
        track = view.track
        note = self.note.format(problems=f"{track.problems:,}", suite=track.suite, asking=track.asking)
        table = table_of((*curves, *filled(self.more(view))), view.x_label)
        withheld = view.withheld() if self.effect else ""
        text = " ".join(t for t in (self.caption(view), withheld) if t) or _nothing(self.missing)
        return Panel(
            chart, self.title, self.unit, curves, text, f"{note} {view.bands}", table, view.x_label, self.stacked
        )


def _nothing(reason: str) -> str:
    return f"There is nothing to show: {reason}."


# ---------------------------------------------------------------------- captions


def _accuracy_caption(view: View) -> str:
    trend, last = view.trend, view.measured[-1]
    if trend is None:
        order = ("clean", "hinted", "placebo", "needed")
        found = ", ".join(f"{NAMES[k]} {percent_interval(f.value)}" for k in order if (f := last.figures.get(k)))
        text = sentence(f"{last.label}: {found}")
    else:
        clauses = (robustness_claim(trend), *(_trend_clause(trend, key) for key in NAMES), _beyond_clause(trend))
        text = "\n".join(sentence(clause) for clause in clauses if clause)
    shares = [f"{key} {described}" for key, unread in view.unread.items() if (described := describe_unread(unread))]
    about = sentence(f"not graded at {last.label}: {'; '.join(shares)}") if shares else ""
    withheld = "" if trend is None else view.withheld()
    return "\n".join(t for t in (text, about, withheld, *unread_warnings(view.unread)) if t)


def _trend_clause(trend: Trend, key: str) -> str:
    if key in trend.changes:
        return describe_change(NAMES[key], trend.changes[key])
    return describe_unpaired_change(NAMES[key], *trend.totals[key]) if key in trend.totals else ""


def _beyond_clause(trend: Trend) -> str:
    """Whether the hints' gain is more than that of any added text."""
    found = trend.beyond
    if found is None or "hinted" not in trend.changes:
        return ""
    p_value = 1.0 if found.p_value is None else found.p_value
    detail = f"{points_interval(found.value)}, {p_clause(p_value)}"
    if is_clear(found.value, p_value):
        side = "more" if found.value.mean > 0 else "less"
        return f"under hints it changed by {side} than under placebos ({detail})"
    return f"the change under hints cannot be distinguished from that under placebos ({detail})"


def _gap_caption(view: View) -> str:
    ends = view.ends("gap/hinted")
    if not ends:
        return ""
    both = " and ".join(f"{points_interval(f.value)} at {name}" for name, f in ends)
    clauses = [f"clean − hinted is {both}, paired by problem"]
    if view.trend is not None and view.trend.gap is not None:
        clauses.append(_gap_clause(view.trend.gap))
    if beside := view.ends("gap/placebo"):
        name, found = beside[-1]
        clauses.append(f"placebos of the same length cost {points_interval(found.value)} at {name}")
    return sentence(*clauses)


def _gap_clause(found: Figure) -> str:
    p_value = 1.0 if found.p_value is None else found.p_value
    detail = f"{points_interval(found.value)} on {found.problems:,} problems, {p_clause(p_value)}"
    if is_clear(found.value, p_value):
        return f"the gap {'widened' if found.value.mean > 0 else 'narrowed'} ({detail})"
    return f"no change of the gap that {found.problems:,} problems could show ({detail})"


def _flips_caption(view: View) -> str:
    clauses = []
    for name, found in view.ends("harmful/hinted"):
        helpful = next(m.figures.get("helpful/hinted") for m in view.measured if m.label == name)
        more = f" and one is gained in {percent_interval(helpful.value)}" if helpful else ""
        lost = percent_interval(found.value)
        clauses.append(f"at {name} a right answer is lost under a hint in {lost} of pairs{more}")
    if clauses and (beside := view.ends("harmful/placebo")):
        name, found = beside[-1]
        clauses.append(f"under a placebo one is lost in {percent_interval(found.value)} at {name}")
    return sentence(*clauses)


def _worst_caption(view: View) -> str:
    last = next((m for m in reversed(view.measured) if "worst/hinted" in m.figures), None)
    if last is None:
        return ""
    hinted = percent_interval(last.figures["worst/hinted"].value)
    clauses = [f"at {last.label}, {hinted} of problems stay right under all of their hints"]
    for key, name in (("placebo", "as many placebos"), ("clean", "as many clean resamples")):
        effect, beside = last.figures.get(f"effect/{key}"), last.figures.get(f"worst/{key}")
        if effect is not None and beside is not None:
            clauses.append(_effect_clause(effect, beside.value, name))
    if len(clauses) == 1:
        clauses.append("there is no placebo beside it, so this says nothing of an attack")
    return sentence(*clauses)


def _effect_clause(effect: Figure, beside: Interval, name: str) -> str:
    p_value = "unpaired" if effect.p_value is None else p_clause(effect.p_value)
    detail = f"{points_interval(effect.value)} on {effect.problems:,} problems, {p_value}"
    start = f"under {name} {percent_interval(beside)} do"
    if not is_clear(effect.value, effect.p_value):
        return f"{start}: no effect of the hints beyond that which the evidence could show ({detail})"
    if effect.value.mean > 0:
        return f"{start}: the hints do harm beyond it ({detail})"
    return f"{start}: the hints do less harm than that ({detail}), so this is no evidence of an attack"


def _drop_caption(view: View) -> str:
    ends = view.ends("drop/hinted")
    if not ends:
        return ""
    both = " and ".join(f"{percent_interval(f.value)} at {name}" for name, f in ends)
    beside = view.ends("drop/placebo")
    more = f"under placebos {percent_interval(beside[-1][1].value)} at {beside[-1][0]}" if beside else ""
    return sentence(f"of what is right without a hint, hints cost {both}", more)


def _follow_caption(view: View) -> str:
    ends = view.ends("follow/hinted")
    if not ends:
        return ""
    both = " and ".join(f"in {percent_interval(f.value)} at {name}" for name, f in ends)
    rows = ends[-1][1].rows
    return sentence(
        f"where a hint suggests a wrong answer and an answer could be read, it is that one {both} ({rows:,} such rows "
        "each)"
    )


# ---------------------------------------------------------------------- the panels


def _flip_curves(view: View) -> list[Curve]:
    return [view.curve(f"{name}/hinted", label, name) for name, label in FLIPS]


def _placebo_flip_curves(view: View) -> list[Curve]:
    return [
        view.curve(f"{name}/placebo", f"placebo, {label.replace('hinted', 'with it')}", name) for name, label in FLIPS
    ]


def _worst_curves(view: View) -> list[Curve]:
    return [
        view.curve("worst/hinted", "right under all hints", "hinted", p_from="effect/placebo"),
        view.curve("worst/placebo", "under as many placebos", "placebo", beside=True),
        view.curve("worst/clean", "in as many clean resamples", "clean", beside=True),
    ]


def _effect_curves(view: View) -> list[Curve]:
    return [
        view.curve("effect/placebo", "placebo − hinted", "effect"),
        view.curve("effect/clean", "resampled − hinted", "effect_clean"),
    ]


TRACK_PANELS = {
    Chart.ACCURACY: PanelSpec(
        "Accuracy on the frozen suite",
        "The same {problems} problems and texts at every checkpoint ({suite}, {asking}), so points can be compared. A "
        "placebo is neutral words of a hint's length. Needed: the question stands before the story's last sentence, so "
        "that text after it must be used. Its level depends on the order too: its change tells of text ignored.",
        _accuracy_caption,
        lambda view: [view.curve("clean", "clean"), *view.curves(""), view.curve("needed", "needed", beside=True)],
        effect=False,
    ),
    Chart.GAP: PanelSpec(
        "Paired gap, clean − hinted", "Above zero: worse with the text than without it. Paired by problem.",
        _gap_caption, lambda view: view.curves("gap/"), "the suite was not asked both clean and hinted",
        Unit.DIFFERENCE,
    ),
    Chart.FLIPS: PanelSpec(
        "What a hint changes",
        "A pair is a hinted answer and the same problem's clean one. Sampling flips answers both ways too: the table "
        "has the placebos' flips to compare with.",
        _flips_caption, _flip_curves, "the suite was not asked both clean and hinted", more=_placebo_flip_curves,
        stacked=True,
    ),
    Chart.WORST_OF_K: PanelSpec(
        "Worst of k, beside its placebo",
        "k chances to fail are harder than one, whatever is added: only the distance to the placebo tells of an "
        "attack. p: sign flips over problems.",
        _worst_caption, _worst_curves, "the suite has no hints", more=_effect_curves,
    ),
    Chart.DROP_RATE: PanelSpec(
        "Performance drop rate", "1 − hinted / clean: 0 loses nothing, 1 loses all, below 0 hints help.",
        _drop_caption, lambda view: view.curves("drop/", types=False), "nothing is right clean, or it was not asked",
    ),
    Chart.FOLLOW_RATE: PanelSpec(
        "Follow rate", "Over readable answers to hints that suggest a wrong answer.", _follow_caption,
        lambda view: view.curves("follow/"), "no hint of the suite suggests an answer, or rows are gone",
    ),
}  # fmt: skip


# ---------------------------------------------------------------------- over processor time

CPU_LABEL = "CPU seconds"


def cpu_seconds(history: History) -> tuple[tuple[int, float], ...]:
    """Processor seconds that training took up to each step, evaluations left out; empty for a run of a version that
    did not measure them. They compare loops that spend their rollouts differently, which steps do not."""
    steps, seconds = history.series("cpu_seconds")
    if not steps or len(steps) < len(history.series("seconds")[0]):
        return ()
    return ((0, 0.0), *zip(steps, itertools.accumulate(seconds), strict=True))


def over_cpu_time(panel: Panel) -> Panel:
    """The panel with processor seconds in place of steps; the same one where they are not known for all its points."""
    at = {step: round(seconds) for step, seconds in panel.cpu_s}
    if not at or any(p.x not in at for c in panel.curves for p in c.points):
        return panel
    curves = tuple(replace(c, points=tuple(replace(p, x=at[p.x]) for p in c.points)) for c in panel.curves)
    rows = tuple((at[int(row[0] or 0)], *row[1:]) for row in panel.table.rows)
    table = DataTable((CPU_LABEL, *panel.table.columns[1:]), rows)
    return replace(panel, curves=curves, table=table, x_label=CPU_LABEL)


# ---------------------------------------------------------------------- the moving adversary


def adversary_panel(history: History, questions: int) -> Panel:
    """The accuracies of the training steps themselves, kept apart from the frozen suite."""
    labels = {
        "hinted": "hinted, that step's Adversary", "clean": "clean, that step's problems",
        "needed": "needed, that step's problems",
    }  # fmt: skip
    curves = filled(Curve(key, label, _step_points(history, key, questions)) for key, label in labels.items())
    note = (
        "NOT COMPARABLE from step to step: the Adversary and the problems change with every one, and so what is hard. "
        "Bands take the rollouts of one question together."
    )
    hinted = next((c for c in curves if c.key == "hinted"), None)
    text = _nothing("no step was hinted yet") if hinted is None else _adversary_caption(hinted)
    title = "Against the current Adversary (not comparable over steps)"
    return Panel(Chart.ADVERSARY, title, Unit.SHARE, curves, text, note, table_of(curves, "step"))


def _adversary_caption(hinted: Curve) -> str:
    first, last = hinted.points[0], hinted.points[-1]
    return (
        f"Against each step's own hints {percent(first.value.mean)} were right at step {first.x} and "
        f"{percent(last.value.mean)} at step {last.x}; both the Reasoner and the hints changed in between, so the "
        "difference says nothing of either."
    )


def _step_points(history: History, key: str, questions: int) -> tuple[Point, ...]:
    means, lows, highs = (
        dict(zip(*history.series(f"{key}_{part}"), strict=True)) for part in ("accuracy", "low", "high")
    )
    return tuple(
        Point(step, f"step {step}", Interval(m, lows.get(step, m), highs.get(step, m)), questions, 0, Basis.STEP)
        for step, m in means.items()
    )


# ---------------------------------------------------------------------- tables to read


def _number(value: Value) -> float:
    return float(value or 0.0)


def text_table(panel: Panel) -> DataTable:
    """A panel's table as people read it: a line a checkpoint, a column a curve, each value with its interval."""
    names = list(dict.fromkeys(str(row[2]) for row in panel.table.rows))
    lines: dict[tuple[Value, Value], dict[str, str]] = {}
    for x, label, name, mean, low, high, p_value, _problems, _rows, _from, *shares in panel.table.rows:
        found = Interval(*(float(v or 0.0) for v in (mean, low, high)))
        difference = panel.unit is Unit.DIFFERENCE or " − " in str(name)
        text = points_interval(found, "") if difference else percent_interval(found)
        if difference and isinstance(p_value, float):
            text += f", {p_clause(p_value)}"
        if shares and shares[0] is not None and (unread := describe_unread(UnreadShares(*map(_number, shares)))):
            text += f", {unread}"
        lines.setdefault((x, label), {})[str(name)] = text
    steps = panel.x_label == "step"
    rows = [
        (*((str(x),) if steps else ()), str(label), *(cells.get(n, "") for n in names))
        for (x, label), cells in lines.items()
    ]
    return DataTable((*((panel.x_label,) if steps else ()), "checkpoint", *names), tuple(rows))
