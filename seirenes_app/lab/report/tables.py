"""A panel's table as people read it: a line a checkpoint, a column a curve, each value with its interval. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from seirenes_app.lab.robustness.measured import COLUMNS
from seirenes_app.lab.robustness.values import DataTable, Panel, Unit, Value
from seirenes_app.lab.robustness.words import p_words, percents, points
from training.core.statistics import Interval

MOST_LINES = 21


@dataclass(frozen=True, slots=True)
class TextTable:
    """Text to print as it is. `left_out` says how many lines were, empty where none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: str = ""


def panel_table(panel: Panel, most: int = MOST_LINES) -> TextTable:
    """The table of a panel; with more lines than `most`, evenly chosen ones, the first and the last among them."""
    if panel.table.columns[1:] != COLUMNS:
        return plain_table(panel.table)
    names = list(dict.fromkeys(str(row[2]) for row in panel.table.rows))
    lines: dict[tuple[Value, Value], dict[str, str]] = {}
    for x, label, name, mean, low, high, p_value, *_ in panel.table.rows:
        found = Interval(_number(mean), _number(low), _number(high))
        lines.setdefault((x, label), {})[str(name)] = _cell(panel, str(name), found, p_value)
    rows = [
        (*((str(x),) if panel.x_label == "step" else ()), str(label), *(cells.get(n, "") for n in names))
        for (x, label), cells in lines.items()
    ]
    head = (*((panel.x_label,) if panel.x_label == "step" else ()), "checkpoint", *names)
    kept = _spread(len(rows), most)
    left = len(rows) - len(kept)
    told = f"{left} of {len(rows)} lines are left out here; the JSON and CSV exports have them all." if left else ""
    return TextTable(head, tuple(rows[i] for i in kept), told)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _cell(panel: Panel, name: str, found: Interval, p_value: Value) -> str:
    difference = panel.unit is Unit.DIFFERENCE or " − " in name
    text = points(found, "") if difference else percents(found)
    return f"{text}, {p_words(p_value)}" if difference and isinstance(p_value, float) else text


def _spread(there: int, most: int) -> list[int]:
    if there <= most:
        return list(range(there))
    return sorted({round(i * (there - 1) / (most - 1)) for i in range(most)})


def plain_table(table: DataTable) -> TextTable:
    """Any table, numbers to three digits."""
    return TextTable(table.columns, tuple(tuple(_text(v) for v in row) for row in table.rows))


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}".replace("-", "−")
    return str(value)
