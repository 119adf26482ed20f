"""Colours, dashes, markers and hatches of charts, light and dark. Pure. Colour is never the only difference: of two
series in one chart, dash and marker, or hatch, differ too."""

from __future__ import annotations

from dataclasses import dataclass

from training.core.types import HintType

SANS_FAMILIES = ("Inter", "Noto Sans", "Segoe UI", "SF Pro Text", "Cantarell", "Ubuntu", "Open Sans", "DejaVu Sans")


@dataclass(frozen=True)
class Palette:
    """Named colours as ``#rrggbb``. `clean`, `hinted`, `placebo`, `adversary` mean the same thing in every chart."""

    name: str
    dark: bool
    background: str
    surface: str
    raised: str
    text: str
    muted: str
    border: str
    grid: str
    accent: str
    accent_hover: str
    accent_text: str
    clean: str
    hinted: str
    placebo: str
    adversary: str
    good: str
    warn: str
    bad: str

    def hex(self, colour: str) -> str:
        """``#rrggbb`` of a named colour, or of a ``"#light/#dark"`` pair."""
        if colour.startswith("#"):
            light, _, dark = colour.partition("/")
            return dark if self.dark and dark else light
        return str(getattr(self, colour))


LIGHT = Palette(
    name="light", dark=False,
    background="#f5f7f8", surface="#ffffff", raised="#ebeff2", text="#13212c", muted="#4c5b68",
    border="#d3dbe2", grid="#e3e8ed", accent="#0a6870", accent_hover="#08565d", accent_text="#ffffff",
    clean="#1a63a8", hinted="#a84a06", placebo="#57636f", adversary="#83369c",
    good="#14703f", warn="#835200", bad="#ac211b",
)  # fmt: skip

DARK = Palette(
    name="dark", dark=True,
    background="#0e151b", surface="#151e26", raised="#1f2a34", text="#e7eef4", muted="#a0afbd",
    border="#2e3b47", grid="#25313c", accent="#55c7cb", accent_hover="#7ad7da", accent_text="#04282b",
    clean="#74b9ff", hinted="#ffb26b", placebo="#a3b0bd", adversary="#d9a3f2",
    good="#63cf95", warn="#e8c063", bad="#ff9188",
)  # fmt: skip

DASHES = {"-": (), "--": (5.0, 2.6), "-.": (6.0, 2.2, 1.4, 2.2), ":": (1.4, 1.8)}
"""Dash patterns in line widths, for matplotlib and for the legend."""


@dataclass(frozen=True)
class SeriesStyle:
    """`colour` names a colour of the palette or is a ``"#light/#dark"`` pair; `hatch` is matplotlib's."""

    colour: str
    dash: str = "-"
    marker: str = ""
    hatch: str = ""


HINT_TYPES = {
    HintType.INFORMATION_OVERLOAD: SeriesStyle("#0f6f6b/#5cd0c4", "-", "o"),
    HintType.CORRELATION_TRAP: SeriesStyle("#a3195b/#ff9cc7", "--", "s"),
    HintType.SEMANTIC_MISLEADING: SeriesStyle("#4338ca/#a9b2ff", "-.", "^"),
    HintType.INSTRUCTION_CONTAMINATION: SeriesStyle("#5c6b00/#c9d65a", ":", "D"),
}

NAMED: dict[str, SeriesStyle] = {
    "clean": SeriesStyle("clean", "-", "o"),
    "hinted": SeriesStyle("hinted", "-", "s"),
    "placebo": SeriesStyle("placebo", "--", "^"),
    "needed": SeriesStyle("text", "-.", "D"),
    "templates:seen": SeriesStyle("accent", "--", "o"),
    "templates:unseen": SeriesStyle("accent", "-", "s"),
    "types:seen": SeriesStyle("adversary", "--", "^"),
    "types:unseen": SeriesStyle("adversary", "-", "D"),
    **{f"type:{type_}": style for type_, style in HINT_TYPES.items()},
}
"""Styles of curves by their key."""

NUMBERED = (
    SeriesStyle("#1a63a8/#74b9ff", "-", "o"), SeriesStyle("#a84a06/#ffb26b", "--", "s"),
    SeriesStyle("#14703f/#63cf95", "-.", "^"), SeriesStyle("#83369c/#d9a3f2", ":", "D"),
    SeriesStyle("#57636f/#a3b0bd", "-", "D"), SeriesStyle("#a3195b/#ff9cc7", "--", "o"),
    SeriesStyle("#5c6b00/#c9d65a", "-.", "s"), SeriesStyle("#0f6f6b/#5cd0c4", ":", "^"),
)  # fmt: skip
"""Styles of curves that are runs or models, in their order."""
OVERLAID = (NUMBERED[2], NUMBERED[3], NUMBERED[5], NUMBERED[6], NUMBERED[7])
"""Styles of other runs' curves beside those of `NAMED`."""

PARTS = {
    "harmful": SeriesStyle("bad", hatch="////"), "helpful": SeriesStyle("good", hatch=".."),
    "right": SeriesStyle("clean"), "wrong": SeriesStyle("placebo", hatch="----"),
}  # fmt: skip
"""Styles of the parts of a whole by their key."""
NUMBERED_PARTS = (
    SeriesStyle("clean"), SeriesStyle("bad", hatch="////"), SeriesStyle("good", hatch=".."),
    SeriesStyle("placebo", hatch="----"), SeriesStyle("adversary", hatch="xxxx"),
)  # fmt: skip

GATES = tuple(
    SeriesStyle(colour, hatch=hatch)
    for colour, hatch in (
        ("#ac211b/#ff9188", "////"), ("#835200/#e8c063", ".."), ("#4338ca/#a9b2ff", "\\\\\\\\"),
        ("#a3195b/#ff9cc7", "xxxx"), ("#57636f/#a3b0bd", "----"), ("#5c6b00/#c9d65a", "||||"),
        ("#83369c/#d9a3f2", "++++"), ("#1a63a8/#74b9ff", "oo"), ("#14703f/#63cf95", "**"), ("#0a6870/#55c7cb", "////"),
        ("#a84a06/#ffb26b", "xxxx"), ("#835200/#e8c063", "++++"),
    )
)  # fmt: skip
"""Styles of the gates, in the order of `Gate`."""

TIME_PARTS = {
    "prefill": SeriesStyle("#1a63a8/#74b9ff"), "decode": SeriesStyle("#0a6870/#55c7cb", hatch="////"),
    "drawing": SeriesStyle("#4338ca/#a9b2ff", hatch=".."), "sampling": SeriesStyle("#57636f/#a3b0bd", hatch="||||"),
    "grading": SeriesStyle("#14703f/#63cf95", hatch="xxxx"), "gates": SeriesStyle("#5c6b00/#c9d65a", hatch="++++"),
    "gradient": SeriesStyle("#83369c/#d9a3f2", hatch="\\\\\\\\"),
    "optimiser": SeriesStyle("#a3195b/#ff9cc7", hatch="oo"),
    "evaluation": SeriesStyle("#a84a06/#ffb26b", hatch="----"), "recording": SeriesStyle("#835200/#e8c063", hatch="**"),
    "checkpoint": SeriesStyle("#ac211b/#ff9188", hatch="////"),
    "r1": SeriesStyle("#1a63a8/#74b9ff"), "r2": SeriesStyle("#83369c/#d9a3f2", hatch="////"),
    "r3": SeriesStyle("#a84a06/#ffb26b", hatch=".."), "update": SeriesStyle("#14703f/#63cf95", hatch="----"),
    "other": SeriesStyle("#57636f/#a3b0bd", hatch=".."),
}  # fmt: skip
"""Styles of the parts of a run's time by their key."""


def colour_pairs() -> dict[str, str]:
    """Every light colour that a chart can have, with its dark one."""
    pairs = {v: getattr(DARK, k) for k, v in vars(LIGHT).items() if k != "accent_text" and str(v).startswith("#")}
    for style in (*HINT_TYPES.values(), *NUMBERED, *GATES, *TIME_PARTS.values()):
        light, _, dark = style.colour.partition("/")
        pairs[light] = dark
    return pairs
