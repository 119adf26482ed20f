"""Which series each chart of a run shows. Pure: state in, lines out."""

from __future__ import annotations

from seirenes_app.ui.widgets.charts import Line
from training.core.types import PerturbationType
from training.rundir.state import RunState

DASHES = ("-", "--", "-.", ":")
TYPE_COLOURS = ("clean", "hinted", "adversary", "placebo")


def chart_lines(state: RunState) -> dict[str, list[Line]]:
    """Lines by chart."""
    return {
        "accuracy": _accuracy(state),
        "types": _types(state),
        "reward": [_plain(state, "adversary_reward", "reward", "adversary")],
        "gates": _gates(state),
        "entropy": [
            _plain(state, "entropy/reasoner", "Reasoner", "clean"),
            _plain(state, "entropy/adversary", "Adversary", "adversary", "--"),
        ],
        "lengths": [
            _plain(state, "length/solution_tokens", "solutions", "clean"),
            _plain(state, "length/hint_tokens", "hints", "adversary", "--"),
        ],
        "speed": [_plain(state, "tokens_per_s", "tokens/s", "muted")],
    }


def _plain(state: RunState, name: str, label: str, colour: str, style: str = "-") -> Line:
    steps, values = state.history.series(name)
    return Line(label, colour, steps, values, style=style)


def _accuracy(state: RunState) -> list[Line]:
    lines = []
    for name, colour in (("clean", "clean"), ("hinted", "hinted")):
        steps, values = state.history.series(f"{name}_accuracy")
        low, high = (state.history.series(f"{name}_{end}")[1] for end in ("low", "high"))
        lines.append(Line(f"{name}, this step (moving)", colour, steps, values, low, high, style=":"))
        found = [(e.step, e.metrics[name]) for e in state.evals if name in e.metrics]
        lines.append(
            Line(
                f"{name}, frozen suite", colour, [s for s, _ in found], [r["accuracy"] for _, r in found],
                [r["low"] for _, r in found], [r["high"] for _, r in found],
                marker="o" if name == "clean" else "s", points=True,
            )
        )  # fmt: skip
    return lines


def _types(state: RunState) -> list[Line]:
    return [
        _plain(state, f"hinted/{type_}", type_.replace("_", " "), colour, dash)
        for type_, colour, dash in zip(PerturbationType, TYPE_COLOURS, DASHES, strict=True)
    ]


def _gates(state: RunState) -> list[Line]:
    lines = [_plain(state, "gate_pass_rate", "passed", "good")]
    names = [n for n in state.history.names() if n.startswith("gate_fail/")]
    colours = ("bad", "warn", "hinted", "adversary", "placebo", "muted")
    for i, name in enumerate(names[:6]):
        lines.append(_plain(state, name, name.removeprefix("gate_fail/").replace("_", " "), colours[i], DASHES[i % 4]))
    return lines
