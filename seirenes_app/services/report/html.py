"""The look of a report: light and dark, on paper always light. CSS only.

A report as one HTML file: no network, no script, printable, light and dark.

All text of models, runs and folders is escaped; a page's policy forbids it to load or run anything."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from seirenes_app.services.formatting import percent_interval
from seirenes_app.services.report.document import (
    Facts,
    Report,
    SourceSection,
    TextTable,
    TrackSection,
    panel_table,
    plain_table,
)
from seirenes_app.services.report.flips import FlipPair, SelectedFlips
from seirenes_app.services.report.svg import draw_panel
from seirenes_app.services.robustness.checkpoint_figures import HEADLINE_COLUMNS, Headline
from seirenes_app.services.robustness.types import Comparison, MatrixPanel, Panel, Trace
from training.core.statistics import Interval
from training.core.types import Outcome

STYLE = """
:root{--ink:#1c2430;--soft:#5a6675;--line:#d8dde5;--paper:#fff;--panel:#f4f6f9;--good:#1a7f4b;--bad:#b3402a;
--c0:#1b6ca8;--c1:#c8553d;--c2:#8a6d00;--c3:#7b4fa3;--c4:#1a7f6b;--c5:#b0447f;--c6:#6b7280;--c7:#3c4a5c}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#9aa7b8;--line:#364252;--paper:#141a22;
--panel:#1d2530;--good:#5cc98f;--bad:#ef8a70;--c0:#6fb4e8;--c1:#f0896f;--c2:#d9b84a;--c3:#b993dd;--c4:#5cc9b0;
--c5:#e28bb8;--c6:#a3adba;--c7:#c3cedd}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1.2rem;color:var(--ink);
background:var(--paper)}
h1,h2,h3{line-height:1.2}h2{margin-top:2.6rem}h3{margin:1.8rem 0 .4rem}
a{color:var(--c0)}
table{border-collapse:collapse;margin:.8rem 0;font-size:.9rem}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.scroll{overflow-x:auto}
.sentence{margin:.3rem 0;font-weight:500}.note,.soft{color:var(--soft);font-size:.88rem;margin:.2rem 0}
.warning{border-left:4px solid var(--bad);padding-left:.8rem}
pre{background:var(--panel);padding:.8rem 1rem;overflow:auto;font-size:.82rem;white-space:pre-wrap;
overflow-wrap:anywhere}
svg.chart{width:100%;height:auto;display:block;margin-top:.4rem}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}
.grid{stroke:var(--line)}.zero{stroke:var(--soft)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.band{stroke:none;fill-opacity:.13}
.part{stroke:var(--paper);fill-opacity:.75}.mark{stroke-width:1.6}.mark.hollow{fill:var(--paper)}
.bar{stroke-width:2;stroke-opacity:.55}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.3rem 0 .5rem;padding:0;font-size:.88rem}
.legend svg{vertical-align:-3px}
.flip{display:grid;grid-template-columns:1fr 1fr;gap:.8rem;margin:.4rem 0 1.6rem}
.flip pre{margin:.2rem 0}.flip b.right{color:var(--good)}.flip b.wrong{color:var(--bad)}
td.own{outline:2px solid var(--ink);outline-offset:-2px}
@media print{body{max-width:none;margin:0;font-size:10.5pt}h2{break-after:avoid}h3{break-after:avoid}
section.chart,.flip,tr{break-inside:avoid}a{color:inherit;text-decoration:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

COLOUR_RULES = "".join(f".c{i}{{stroke:var(--c{i});fill:var(--c{i})}}" for i in range(8))


POLICY = "default-src 'none'; style-src 'unsafe-inline'"
HEADLINE_NOTE = (
    "The same problems and texts at both ends. Intervals are 95%, over problems; the change is paired, in points, with "
    "a bootstrap over problems; p is McNemar's, with problems as clusters."
)


def esc(text: object) -> str:
    """Text as HTML, control characters (which no page may hold) as their picture."""
    shown = "".join(c if c >= " " or c in "\n\t" else chr(0x2400 + ord(c)) for c in str(text))
    return html.escape(shown, quote=True)


def report_html(report: Report) -> str:
    """The whole file."""
    many = len(report.sources) > 1
    parts = [_comparison(report.comparison)] if report.comparison else []
    parts += [_source(s, many) for s in report.sources]
    return f"""<!doctype html>
<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1">
<meta http-equiv=Content-Security-Policy content="{POLICY}">
<title>{esc(report.title)} · Seirênes</title><style>{COLOUR_RULES}{STYLE}</style></head><body>
<h1>{esc(report.title)}</h1>
<p class=soft>Robustness report, made {esc(report.made)} by {esc(report.program)}.</p>
{"".join(parts)}
<h2>Limits of this evidence</h2>{_list(report.limits)}
{"".join(_appendix(s, many) for s in report.sources)}
</body></html>
"""


def _list(texts: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{esc(t)}</li>' for t in texts)}</ul>"


def _source(source: SourceSection, many: bool) -> str:
    heading = f"<h2>{esc(source.name)}</h2>" if many else ""
    warnings = "".join(f"<p class=warning>{esc(w)}</p>" for w in source.warnings)
    tracks = "".join(_track(t, len(source.tracks) > 1) for t in source.tracks)
    return f"{heading}{_facts(source.facts)}{warnings}{tracks}{_matrix(source.matrix)}"


def _facts(facts: Facts) -> str:
    rows = "".join(f"<tr><th>{esc(k)}</th><td>{esc(v)}</td></tr>" for k, v in facts)
    return f"<table>{rows}</table>" if facts else ""


def _track(section: TrackSection, several: bool) -> str:
    heading = f"<h2>{esc(section.track.title)}</h2>" if several else ""
    charts = "".join(_panel(p, section.track.by_step) for p in section.panels)
    return f"{heading}{_headline(section.headline)}<h2>Charts</h2>{charts}{_flips(section.flips)}"


def _headline(found: Headline | None) -> str:
    if found is None:
        return ""
    heads = "".join(f"<th{' class=n' if i else ''}>{esc(c)}</th>" for i, c in enumerate(HEADLINE_COLUMNS))
    rows = "".join(_row(line.cells()) for line in found.lines)
    return (
        f"<h2>Before and after</h2><p class=note>{esc(found.before)} against {esc(found.after)}. {esc(HEADLINE_NOTE)}"
        f"</p><div class=scroll><table><tr>{heads}</tr>{rows}</table></div>"
    )


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f"<tr><td>{esc(first)}</td>{''.join(f'<td class=n>{esc(c)}</td>' for c in rest)}</tr>"


def _panel(panel: Panel, by_step: bool) -> str:
    return (
        f"<section class=chart><h3>{esc(panel.title)}</h3><p class=sentence>{esc(panel.sentence)}</p>"
        f"{draw_panel(panel, lines=by_step)}<p class=note>{esc(panel.note)}</p></section>"
    )


# ---------------------------------------------------------------------- cross-play


def _matrix(found: MatrixPanel | None) -> str:
    if found is None:
        return ""
    heads = "".join(f"<th class=n>{esc(w)}</th>" for w in found.writers)
    rows = []
    for i, name in enumerate(found.reasoners):
        cells = "".join(_shaded(c.value, own=c.own) for c in found.cells[i])
        rows.append(f"<tr><th>{esc(name)}</th>{cells}{_plain(found.row_means[i])}{_plain(found.clean[i])}</tr>")
    means = "".join(_plain(m) for m in found.column_means)
    rows.append(f"<tr><th>column mean</th>{means}{_plain(found.diagonal)}<td></td></tr>")
    told = "".join(f"<p class=sentence>{esc(s)}</p>" for s in found.sentences)
    return (
        f"<section><h2>{esc(found.title)}</h2>{told}<div class=scroll><table><tr><th>Reasoner \\ hints of</th>{heads}"
        f"<th class=n>row mean</th><th class=n>clean</th></tr>{''.join(rows)}</table></div><p class=note>"
        f"{esc(found.note)} Outlined: own hints; the mean of those stands under the row means.</p></section>"
    )


def _shaded(value: Interval | None, *, own: bool) -> str:
    if value is None:
        return "<td class=n>not yet</td>"
    kind = "n own" if own else "n"
    style = f"background:color-mix(in srgb,var(--c0) {60 * value.mean:.0f}%,transparent)"
    return f'<td class="{kind}" style="{style}">{esc(percent_interval(value))}</td>'


def _plain(value: Interval | None) -> str:
    return f"<td class=n>{'' if value is None else esc(percent_interval(value))}</td>"


# ---------------------------------------------------------------------- comparison


def _comparison(found: Comparison) -> str:
    told = "".join(f"<p class=sentence>{esc(s)}</p>" for s in found.sentences)
    refused = "".join(f"<p class=warning>{esc(r)}</p>" for r in found.refused)
    charts = "".join(_panel(p, True) for p in found.panels)
    return f"<h2>Runs compared</h2>{refused}{told}{charts}{_table(plain_table(found.table)) if found.lines else ''}"


# ---------------------------------------------------------------------- flips


def _flips(found: SelectedFlips) -> str:
    heading = "<h2>Telling answers, side by side</h2>"
    return f"{heading}<p class=note>{esc(found.sentence)}</p>{''.join(_flip(p) for p in found.pairs)}"


def _flip(pair: FlipPair) -> str:
    shown = pair.right
    question = f"<p>{esc(shown.question)}</p>" if shown.question else f"<p class=soft>{esc(shown.problem_id)}</p>"
    gold = f" <span class=soft>Right answer: {esc(shown.gold)}.</span>" if shown.gold else ""
    hint = f"<p><b>{esc(shown.hint_type.replace('_', ' '))}:</b> {esc(shown.hint)}{gold}</p>"
    sides = "".join(_side(t, trace) for t, trace in ((pair.left_title, pair.left), (pair.right_title, pair.right)))
    return f"<div>{question}{hint}<div class=flip>{sides}</div></div>"


def _side(title: str, trace: Trace) -> str:
    kind = "right" if trace.outcome is Outcome.RIGHT else "wrong"
    sign = "✓" if kind == "right" else "✗"
    follows = ", as the hint suggests" if trace.follows and trace.outcome is not Outcome.RIGHT else ""
    cut = ", cut off" if trace.truncated else ""
    return (
        f"<div>{esc(title)}: <b class={kind}>{sign} {esc(trace.outcome).replace('_', ' ')}</b>{follows}{cut}"
        f"<pre>{esc(trace.completion)}</pre></div>"
    )


# ---------------------------------------------------------------------- appendix


def _appendix(source: SourceSection, many: bool) -> str:
    of = f" of {esc(source.name)}" if many else ""
    tables = "".join(
        f"<h3>{esc(p.title)}</h3>{_table(panel_table(p))}"
        for t in source.tracks
        for p in t.panels
        if p.table.rows
    )  # fmt: skip
    cross = f"<h3>{esc(source.matrix.title)}</h3>{_table(plain_table(source.matrix.table))}" if source.matrix else ""
    return (
        f"<h2>Tables{of}</h2>{tables}{cross}<h2>Configuration{of}</h2><pre>{esc(source.configuration)}</pre>"
        f"<h2>Machine and versions{of}</h2>{_facts(source.machine)}{_facts(source.versions)}"
    )


def _table(table: TextTable) -> str:
    heads = "".join(f"<th{' class=n' if i else ''}>{esc(c)}</th>" for i, c in enumerate(table.columns))
    rows = "".join(_row(row) for row in table.rows)
    left = f"<p class=note>{esc(table.left_out)}</p>" if table.left_out else ""
    return f"<div class=scroll><table><tr>{heads}</tr>{rows}</table></div>{left}"
