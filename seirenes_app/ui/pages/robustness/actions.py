"""The actions of the Robustness page."""

from __future__ import annotations

from seirenes_app.ui.actions import ActionSpec

ACTIONS = (
    ActionSpec("robustness.choose-run", "Choose a run", "Ctrl+L", "log"),
    ActionSpec("robustness.evaluate", "Evaluate…", "Ctrl+E", "play", tip="Models on a suite, or a cross-play"),
    ActionSpec(
        "robustness.regrade",
        "Grade again…",
        "",
        "check",
        tip="Read the stored answers again with this version's answer reader; nothing is generated",
    ),
    ActionSpec("robustness.report", "Write the report", "Ctrl+Shift+E", "file", tip="One HTML file with all figures"),
    ActionSpec("robustness.charts", "Charts", "Alt+1"),
    ActionSpec("robustness.cross-play", "Cross-play", "Alt+2"),
    ActionSpec("robustness.replay", "Checkpoint replay", "Alt+3"),
    ActionSpec("robustness.compare", "Compare runs", "Alt+4"),
    ActionSpec("robustness.studies", "Studies", "Alt+5"),
    ActionSpec("robustness.hints", "What the Adversary learned", "Alt+6"),
    ActionSpec("robustness.transfer", "Transfer of hints", "Alt+7"),
    ActionSpec("robustness.table", "Show the chart or its table", "Ctrl+T"),
)
