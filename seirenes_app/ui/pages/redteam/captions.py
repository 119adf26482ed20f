"""What the Red team page says: names, spent budgets, findings, in words. No widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import UNKNOWN, count_of, countdown, duration, format_count, money, short_count
from seirenes_app.services.redteam.campaign import (
    BUNDLED,
    STAGE_LABELS,
    Budget,
    CampaignPlan,
    CampaignStage,
    CampaignState,
    CampaignSummary,
    Spent,
    WriterKind,
    WriterSpec,
    parse_writer,
)
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_STYLES, BadgeStyle
from training.endpoints import ENDPOINT
from training.errors import UserError
from training.model_names import describe_path
from training.runs.status import RunStatus

NOT_STARTED = BadgeStyle("clock", "Not started", "muted")
STARTER_NAME = "The bundled reasoner"


@dataclass(frozen=True)
class WriterText:
    """A kind of writer as the form offers it. `wants` is what has to be chosen: a model, a run or a suite."""

    title: str
    about: str
    wants: str = ""


WRITERS: Mapping[WriterKind, WriterText] = {
    WriterKind.LANGUAGE: WriterText("Hint language", "Sentences of a closed grammar that leave the answer as it is"),
    WriterKind.TRIGGERS: WriterText("Triggers", "Fixed sentences that fit any problem"),
    WriterKind.MODEL: WriterText("A model as Adversary", "Asked to write misleading hints", "model"),
    WriterKind.RUN_ADVERSARY: WriterText("A run's Adversary", "Made against its Reasoner", "run"),
    WriterKind.ARCHIVE: WriterText("Archived hints of a run", "Valid hints that it kept", "run"),
    WriterKind.SUITE: WriterText("Hints of a suite", "The hints of a frozen suite", "suite"),
}
STAGES: Mapping[CampaignStage, tuple[str, str]] = {
    CampaignStage.GENERATE: ("Prepare", "Reads problems and writers, loads models, solves the problems clean"),
    CampaignStage.SCREEN: ("Screen", "Tries many hints on few problems, the better ones on more"),
    CampaignStage.SELECT: ("Select", "Chooses the hints that are worth a test"),
    CampaignStage.CONFIRM: ("Confirm", "Tests them on other problems with new samples, beside a placebo"),
    CampaignStage.MINIMISE: ("Shorten", "Finds the part of each weakness that does the harm"),
}  # fmt: skip
"""Title and explanation, in their order."""
LIMITS: Mapping[str, tuple[str, str]] = {
    "requests": ("Requests", "Completions asked of any model"), "tokens": ("Tokens", "Of prompts and completions"),
    "money": ("Cost", "By the prices that you set for the endpoints"), "minutes": ("Time", "Waiting for models"),
}  # fmt: skip
"""Title and explanation of each limit of a budget."""


def describe_model(argument: str) -> str:
    """A model's name as a person knows it."""
    if not argument:
        return "none chosen"
    if argument == STARTER:
        return STARTER_NAME
    if argument.startswith(ENDPOINT):
        return f"endpoint {argument.removeprefix(ENDPOINT)}"
    return argument if "://" in argument else describe_path(Path(argument)) if Path(argument).exists() else argument


def describe_writer(writer: WriterSpec) -> str:
    title = WRITERS[writer.kind].title
    if not writer.argument:
        return title
    named = describe_model(writer.argument) if writer.asks_model else Path(writer.argument).name
    return f"{title}: {named}"


def writer_name(key: str) -> str:
    """The writer of a recipe, by its key, as a person knows it: 'hint language', 'model: NAME'."""
    try:
        text = describe_writer(parse_writer(key))
    except UserError:
        return key
    return text[0].lower() + text[1:]


def describe_plan(plan: CampaignPlan) -> str:
    """Target, problems and writers in a line."""
    source = plan.problems.source
    problems = count_of(plan.problems.count, "problem") + ("" if source == BUNDLED else f" of {Path(source).name}")
    writers = ", ".join(writer_name(w.key) for w in plan.writers)
    return f"{describe_model(plan.target)}  ·  {problems}  ·  {writers}"


def describe_target(summary: CampaignSummary) -> str:
    if summary.plan is None:
        return " ".join((summary.problem or "").split())
    return describe_plan(summary.plan)


def name_of(summary: CampaignSummary) -> str:
    return summary.plan.title if summary.plan is not None else summary.paths.run_id


def created_at(summary: CampaignSummary) -> float | None:
    """Unix seconds at which the campaign was made; None where the plan does not say."""
    try:
        return datetime.fromisoformat(summary.plan.created).timestamp() if summary.plan is not None else None
    except ValueError:
        return None


def status_style(summary: CampaignSummary, *, stopping: bool = False) -> BadgeStyle:
    state = summary.state
    if state is None:
        return BROKEN
    if not summary.started:
        return NOT_STARTED
    return STATUS_STYLES[RunStatus.STOPPING if stopping and not state.over else state.status]


def describe_found(summary: CampaignSummary) -> str:
    """How many weaknesses are confirmed; while it searches, how many hints were tried."""
    state = summary.state
    if state is None or not summary.started:
        return UNKNOWN
    tried = f"{count_of(state.recipes, 'hint')} tried"
    if not summary.has_result:
        return tried
    found = f"{state.confirmed} confirmed" if state.confirmed else "none confirmed"
    return f"{found} of {count_of(state.recipes, 'hint')}"


def describe_spent(summary: CampaignSummary) -> str:
    return spent_text(summary.state.spent) if summary.state is not None and summary.started else UNKNOWN


def spent_text(spent: Spent) -> str:
    """Requests, tokens and cost in a line."""
    parts = [count_of(spent.requests, "request"), f"{short_count(spent.tokens)} tokens"]
    if spent.cost is not None:
        parts.append(money(spent.cost))
    return "  ·  ".join(parts)


def limit_figures(budget: Budget, spent: Spent) -> dict[str, tuple[float, float | None, str]]:
    """Of each quantity of a budget: what is spent, its limit (None for none), and both as text. Cost is left out where
    there is neither a price nor a limit."""
    minutes = spent.seconds / 60
    found: dict[str, tuple[float, float | None, str]] = {
        "requests": (spent.requests, budget.requests, _of(format_count(spent.requests), budget.requests, format_count)),
        "tokens": (spent.tokens, budget.tokens, _of(short_count(spent.tokens), budget.tokens, short_count)),
        "money": (spent.cost or 0.0, budget.money, _of(money(spent.cost or 0.0), budget.money, money)),
        "minutes": (minutes, budget.minutes, _of(duration(spent.seconds), budget.minutes, lambda m: duration(60 * m))),
    }  # fmt: skip
    if spent.cost is None and budget.money is None:
        del found["money"]
    return found


def _of(text: str, limit: float | None, write: object) -> str:
    return text if limit is None else f"{text} of {write(limit)}"  # type: ignore[operator]


def describe_doing(state: CampaignState, *, stopping: bool = False) -> str:
    """What it does now, or how it ended, and the time left."""
    if state.over:
        return " ".join(state.message.split())
    if stopping:
        return "Stopping; what was found is kept."
    stage = STAGE_LABELS.get(state.campaign_stage, "starting") if state.campaign_stage is not None else "starting"
    if state.status is RunStatus.PAUSED:
        return f"Paused at: {stage}. Nothing is asked until it is resumed."
    parts = [stage.capitalize(), state.doing]
    if state.eta_s is not None:
        parts.append(f"at most {countdown(state.eta_s)} left")
    return "  ·  ".join(part for part in parts if part)


def meter_text(spent: Spent) -> str:
    """Cached and doubtful requests, and the rate."""
    parts = []
    if spent.seconds > 0 and spent.requests:
        parts.append(f"{spent.requests / spent.seconds:.3g} requests/s")
    if spent.cached:
        parts.append(f"{format_count(spent.cached)} from the cache, not paid again")
    if spent.maybe_paid:
        parts.append(f"{format_count(spent.maybe_paid)} may have been billed twice")
    return "  ·  ".join(parts)
