"""A campaign at work: its stage, what of each limit is spent, and the best hints so far, which are not confirmed."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QProgressBar, QTableView, QWidget

from seirenes_app.services.formatting import count_of, points
from seirenes_app.services.redteam.campaign import BestSoFar, CampaignStage, CampaignState, CampaignSummary
from seirenes_app.ui.pages.redteam.captions import (
    LIMITS,
    STAGES,
    describe_doing,
    limit_figures,
    meter_text,
    status_style,
    writer_name,
)
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle
from seirenes_app.ui.widgets.banner import Banner, BannerKind
from seirenes_app.ui.widgets.boxes import column, fill, make_grid, row
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import ElidedLabel, make_card_heading, make_label
from seirenes_app.ui.widgets.progress import ICONS as LIVE_ICONS
from seirenes_app.ui.widgets.progress import make_bar, render_bar
from seirenes_app.ui.widgets.table_model import Column, TableModel, lay_out_rows, size_columns
from training.core.prompts import TYPE_LABELS
from training.runs.status import RunStatus

NOT_CONFIRMED = (
    "Not confirmed: these did the most harm on the problems they were chosen on, so their losses look larger than they "
    "are. Only the test on other problems counts."
)
BEST_ROWS, BEST_ROW_PX = 5, 30
TROUBLE = {RunStatus.FAILED: "The campaign failed", RunStatus.CRASHED: "The campaign crashed"}


class StageStrip(QWidget):
    """The stages in their order: done, under way, to come, each by its icon and its colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.badges = {stage: Badge(BadgeStyle("clock", title, "muted")) for stage, (title, _) in STAGES.items()}
        for stage, badge in self.badges.items():
            badge.setToolTip(STAGES[stage][1])
        parts: list[QWidget] = []
        for badge in self.badges.values():
            parts += [*([make_label("›", "muted")] if parts else []), badge]
        row(*parts, None, spacing=SPACE_1, parent=self)

    def render_stage(self, state: CampaignState) -> None:
        order = list(CampaignStage)
        at = -1 if state.campaign_stage is None else order.index(state.campaign_stage)
        said = "not begun"
        for stage, badge in self.badges.items():
            place = order.index(stage)
            if place < at:
                icon, tone = "check", "good"
            elif place == at:
                icon, tone = ("stopped", "muted") if state.over else (LIVE_ICONS.get(state.status, "running"), "accent")
                said = STAGES[stage][0]
            else:
                icon, tone = "clock", "muted"
            badge.render_style(BadgeStyle(icon, STAGES[stage][0], tone))
        self.setAccessibleName(f"Stage: {said if at < len(self.badges) else 'done'}")


class BudgetBars(QWidget):
    """A line for each quantity of a budget: its name, a bar where it has a limit, and figures."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Budget")
        grid = make_grid(self, gaps=(SPACE_3, SPACE_2), stretched=1)
        self.bars: dict[str, QProgressBar] = {}
        self.figures: dict[str, QWidget] = {}
        self._lines: dict[str, tuple[QWidget, ...]] = {}
        for place, (name, (title, about)) in enumerate(LIMITS.items()):
            label, bar, figure = make_label(title, "muted"), make_bar(f"{title} spent"), make_label("")
            label.setToolTip(about)
            label.setMinimumWidth(76)
            figure.setMinimumWidth(190)
            self.bars[name], self.figures[name] = bar, figure
            self._lines[name] = (label, bar, figure)
            for at, widget in enumerate(self._lines[name]):
                grid.addWidget(widget, place, at)
            figure.setAlignment(Qt.AlignmentFlag.AlignRight)

    def render_state(self, state: CampaignState) -> None:
        found = limit_figures(state.budget, state.spent)
        for name, widgets in self._lines.items():
            policy = self.bars[name].sizePolicy()
            policy.setRetainSizeWhenHidden(name in found)
            self.bars[name].setSizePolicy(policy)
            for widget in widgets:
                widget.setVisible(name in found)
            if name not in found:
                continue
            used, limit, text = found[name]
            self.figures[name].setText(text if limit is not None else f"{text}, no limit")  # type: ignore[attr-defined]
            self.bars[name].setVisible(limit is not None)
            if limit is not None:
                render_bar(self.bars[name], used, limit)
                self.bars[name].setAccessibleDescription(text)


class BestList(Card):
    """The recipes that lead the screening. Hints are model text: plain."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        columns = (
            Column("Hint", lambda b: " ".join(b.hint.split()), row_tip=lambda b: b.hint),
            Column("Type", lambda b: TYPE_LABELS[b.type], width=214),
            Column("Writer", lambda b: writer_name(b.writer), width=130, row_tip=lambda b: writer_name(b.writer)),
            Column("Loss seen", _loss_text, width=230, right=True, tip="Accuracy lost beyond the placebo"),
        )
        self.model = TableModel(columns, self)
        self.table = QTableView(showGrid=False, wordWrap=False)
        self.table.setModel(self.model)
        self.table.setProperty("plain", "true")
        self.table.setProperty("roomy", "true")
        self.table.setAccessibleName("Best hints so far, not confirmed")
        self.table.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        lay_out_rows(self.table, BEST_ROW_PX)
        size_columns(self.table, columns, stretched=0)
        self.table.setFixedHeight(BEST_ROWS * BEST_ROW_PX + 36)
        self.empty = make_label("", "muted", wrap=True)
        fill(self.body, make_card_heading("Best so far"), make_label(NOT_CONFIRMED, "small", wrap=True), self.table,
             self.empty)  # fmt: skip

    def render_best(self, best: Sequence[BestSoFar], *, over: bool) -> None:
        self.model.render_rows(best[:BEST_ROWS], key=lambda b: b.hint)
        self.table.setVisible(bool(best))
        self.empty.setVisible(not best)
        self.empty.setText("No hint was tried." if over else "The first hints are still being tried.")


def _loss_text(best: BestSoFar) -> str:
    return f"{points(best.loss)} points on {count_of(best.n, 'problem')}"


class RunningView(QWidget):
    """Shows the state of one campaign; the page's actions stop and resume it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stages, self.budget, self.best = StageStrip(), BudgetBars(), BestList()
        self.trouble = Banner()
        self.doing, self.meter, self.tried = ElidedLabel(fill=True), ElidedLabel("small", fill=True), make_label("")
        progress = Card()
        fill(
            progress.body, row(self.stages, None), SPACE_1, row((self.doing, 1), self.tried), SPACE_1, self.budget,
            self.meter,
        )  # fmt: skip
        column(self.trouble, progress, self.best, None, spacing=SPACE_3, margins=(0, SPACE_2, 0, SPACE_3), parent=self)

    def render_summary(self, summary: CampaignSummary, *, stopping: bool = False) -> None:
        state = summary.state
        if state is None:
            return
        self.stages.render_stage(state)
        text = describe_doing(state, stopping=stopping) if summary.started else "It has not been started."
        if state.status in TROUBLE:
            first, *log = state.message.splitlines() or [""]
            self.trouble.show_message(BannerKind.ERROR, TROUBLE[state.status], first, log=log)
            text = "What was answered is kept. Resume it: nothing is asked twice."
        else:
            self.trouble.clear()
        self.doing.setText(text)
        tried = [f"{count_of(state.recipes, 'hint')} tried"] if state.recipes else []
        self.tried.setText("  ·  ".join([*tried, *([f"{state.confirmed} confirmed"] if state.confirmed else [])]))
        self.budget.render_state(state)
        self.meter.setText(meter_text(state.spent))
        self.best.render_best(state.best, over=state.over)
        self.setAccessibleName(f"{status_style(summary, stopping=stopping).text}. {text}")
