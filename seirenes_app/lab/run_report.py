"""What a run changed: the table before / after, the chart, and a one-file HTML report. No Qt, no torch."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.core.statistics import Interval
from training.evaluation.rows import Condition, EvalRow, load_rows
from training.evaluation.tables import Change, Rate, compare
from training.rundir.config_io import load_config, to_toml
from training.rundir.events import EventTail
from training.rundir.paths import RunPaths
from training.rundir.state import RunState, reduce

CLEAN, HINTED, PLACEBO = "#1b6ca8", "#c8553d", "#6b7280"


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of the table: a condition before and after, and the paired change on the same items."""

    label: str
    before: Rate
    after: Rate
    difference: Interval
    p_value: float


def evaluation_files(paths: RunPaths) -> list[Path]:
    """The raw rows of a run's evaluations, oldest first."""
    return sorted((paths.root / "evaluations").glob("step_*.jsonl"))


def before_after(paths: RunPaths) -> list[ReportLine]:
    """Clean, hinted, each type and placebo: first evaluation against last. Empty with fewer than two."""
    files = evaluation_files(paths)
    if len(files) < 2:
        return []
    first, last = load_rows(files[0]), load_rows(files[-1])
    lines = [_line("clean", compare(first, last, Condition.CLEAN))]
    lines.append(_line("hinted, all types", compare(first, last, Condition.HINTED)))
    for type_ in sorted({r.hint_type for r in first if r.hint_type}):
        of_type = [[r for r in rows if r.hint_type == type_] for rows in (first, last)]
        lines.append(_line(f"· {type_.replace('_', ' ')}", compare(of_type[0], of_type[1], Condition.HINTED)))
    lines.append(_line("neutral remark", compare(first, last, Condition.PLACEBO)))
    return lines


def _line(label: str, change: Change) -> ReportLine:
    return ReportLine(label, change.before, change.after, change.difference, change.p_value)


def read_state(paths: RunPaths) -> RunState:
    """The run's state from its events."""
    state = RunState()
    for event in EventTail(paths.events).poll():
        state = reduce(state, event)
    return state


def draw_chart(state: RunState) -> Figure:
    """Accuracy on the frozen suite over steps, with Wilson bands; the moving adversary's curve kept apart, dotted."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    series = (("clean", CLEAN, "o"), ("hinted", HINTED, "s"), ("placebo", PLACEBO, "^"))
    steps = [e.step for e in state.evals]
    for name, colour, marker in series:
        rates = [e.metrics[name] for e in state.evals]
        values = [r["accuracy"] for r in rates]
        axes.plot(steps, values, color=colour, marker=marker, label=f"{name}, frozen suite")
        axes.fill_between(steps, [r["low"] for r in rates], [r["high"] for r in rates], color=colour, alpha=0.15, lw=0)
    moving_steps, moving = state.history.series("hinted_accuracy")
    if moving_steps:
        axes.plot(moving_steps, moving, color=HINTED, ls=":", lw=1, label="hinted, current adversary (moves)")
    axes.set(xlabel="step", ylabel="accuracy", ylim=(0, 1.02), title="Robustness over self-play")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def flips(paths: RunPaths, count: int = 10) -> list[tuple[EvalRow, EvalRow]]:
    """Hinted rollouts that were wrong before and right after, spread over the types."""
    files = evaluation_files(paths)
    if len(files) < 2:
        return []
    last = {(r.problem_id, r.index): r for r in load_rows(files[-1]) if r.condition is Condition.HINTED}
    won = [
        (r, last[r.problem_id, r.index])
        for r in load_rows(files[0])
        if r.condition is Condition.HINTED and r.outcome != "right" and last[r.problem_id, r.index].outcome == "right"
    ]
    by_type: dict[str, list[tuple[EvalRow, EvalRow]]] = {}
    for pair in won:
        by_type.setdefault(pair[0].hint_type, []).append(pair)
    mixed = [pair for group in zip(*by_type.values(), strict=False) for pair in group] if by_type else []
    return mixed[:count]


def write_report(paths: RunPaths) -> dict[str, Path]:
    """chart.png and report.html in the run directory; returns them by name."""
    state, lines = read_state(paths), before_after(paths)
    figure = draw_chart(state)
    chart, report = paths.root / "chart.png", paths.root / "report.html"
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    chart.write_bytes(buffer.getvalue())
    picture = base64.b64encode(buffer.getvalue()).decode()
    report.write_text(_page(paths, state, lines, picture), encoding="utf-8")
    return {"chart": chart, "report": report}


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{padding:.4rem .6rem;border-bottom:1px solid #d8dde5;
text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
img{max-width:100%}pre{background:#f4f6f9;padding:1rem;overflow:auto;font-size:.85rem}.q{color:#5a6675}
"""


def _page(paths: RunPaths, state: RunState, lines: Sequence[ReportLine], picture: str) -> str:
    config = load_config(paths.config)
    esc = html.escape
    rows = "".join(
        f"<tr><td>{esc(x.label)}</td>{_cell(x.before)}{_cell(x.after)}"
        f"<td class=n>{x.difference.mean:+.3f} [{x.difference.low:+.3f}, {x.difference.high:+.3f}]</td>"
        f"<td class=n>{x.p_value:.1g}</td></tr>"
        for x in lines
    )
    examples = "".join(
        f"<tr><td>{esc(a.hint)}<br><span class=q>{esc(a.hint_type.replace('_', ' '))}</span></td>"
        f"<td>{esc(a.completion)}</td><td>{esc(b.completion)}</td></tr>"
        for a, b in flips(paths)
    )
    last = state.evals[-1].metrics if state.evals else {}
    return f"""<!doctype html><html lang=en><meta charset=utf-8><title>{esc(paths.run_id)} · Seirênes</title>
<style>{_STYLE}</style>
<h1>{esc(paths.run_id)}</h1>
<p>{esc(state.mode)} on {esc(state.model)}, {state.step} of {state.steps} steps. {esc(state.message)}</p>
<img alt="Accuracy on the frozen suite over self-play steps" src="data:image/png;base64,{picture}">
<h2>Before and after</h2>
<p>The same held-out problems and hints, greedy decoding. Accuracies with Wilson 95% intervals; the change is paired,
with a bootstrap over problems; p is McNemar's exact test over the single rollouts.</p>
<table><tr><th><th>before<th>after<th>change<th>p</tr>{rows}</table>
{_worst(last)}
<h2>Hints that broke the solver before, and no longer do</h2>
<table><tr><th>hint<th>before<th>after</tr>{examples}</table>
<h2>Limits of this evidence</h2>
<p>One run with one seed. Hints of the frozen suite are templates in wordings that training did not use; hints of
another origin may work where these fail. The dotted curve is measured against an adversary that moves: its points
are not comparable with one another.</p>
<h2>Configuration</h2><pre>{esc(to_toml(config))}</pre>
<h2>Machine</h2><pre>{esc(_facts(state.machine))}</pre></html>
"""


def _cell(r: Rate) -> str:
    return f"<td class=n>{r.accuracy:.3f} [{r.low:.3f}, {r.high:.3f}]</td>"


def _worst(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return ""
    worst, placebo = metrics["worst_of_k"], metrics["placebo_worst_of_k"]
    return (
        f"<p>Solved under every one of its hints (worst of k): {worst['accuracy']:.3f}; under every neutral remark of "
        f"the same length: {placebo['accuracy']:.3f}.</p>"
    )


def _facts(machine: Any) -> str:
    return "\n".join(f"{k}: {v}" for k, v in dict(machine or {}).items())
