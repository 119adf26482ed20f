"""The look of a report: light and dark, on paper always light. CSS only."""

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
