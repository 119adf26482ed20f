"""A campaign as it is planned, its folder, and its state for whoever watches it. Runs nothing itself.

A campaign searches for recipes of hints that cost a target accuracy, within a budget, in a process of its own
(`python -m seirenes_app.services.redteam DIR`) that outlives whoever started it. Its folder works like a run's: the
plan, events, commands, lock, log, every answer in a database, and the result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from seirenes_app.services.run_repository import LoggedWatch
from training.core.prompts import TYPE_LABELS, Placement
from training.core.statistics import normal_quantile
from training.core.types import HintType
from training.core.validity import JudgeOptions
from training.endpoints import Budget as Budget
from training.errors import UserError
from training.resources import data_folder
from training.runs.control import CommandKind, send_command
from training.runs.events import Event, EventKind
from training.runs.files import (
    check_database_path,
    decode_format,
    expanded,
    explained,
    make_folder,
    read_text,
    write_whole,
)
from training.runs.paths import FileAt, RunPaths
from training.runs.processes import require_idle, start_process
from training.runs.status import ProcessState, RunStatus, reduce_process, resolve_status

FORMAT = 1
PLAN, RESULT = "plan.json", "result.json"
MODULE = "seirenes_app.services.redteam"
BUNDLED = "bundled"
"""`ProblemChoice.source` of the bundled families, held-out problems."""
SUITE, RUN = "suite:", "run:"
"""`ProblemChoice.source` begins with one of them for the problems of a suite, or of a run's archived hints."""
MAX_SAMPLES = 64


# ---------------------------------------------------------------------- the plan


@dataclass(frozen=True, slots=True)
class Spent:
    """What a campaign has spent. `cost` is None where no price is known. `cached`: answers that an endpoint's cache
    had, which cost nothing and count as requests of the budget all the same, so that a resumed campaign does the same.
    `maybe_paid`: requests that were sent again after a lost connection, which a server may have billed twice."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0
    cached: int = 0
    maybe_paid: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spent) -> Spent:
        known = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Spent(
            self.requests + other.requests, self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens, sum(known) if known else None,
            self.seconds + other.seconds, self.cached + other.cached, self.maybe_paid + other.maybe_paid,
        )  # fmt: skip


class WriterKind(StrEnum):
    """Where recipes of hints come from."""

    LANGUAGE = "language"
    """Forms of the hint language, their slots drawn for each problem."""
    TRIGGERS = "triggers"
    """Fixed sentences that fit any problem."""
    MODEL = "model"
    """A model with the Adversary's prompt; `WriterSpec.argument` names it."""
    RUN_ADVERSARY = "run_adversary"
    """The trained Adversary of a run; the argument is RUN or RUN@STEP."""
    ARCHIVE = "archive"
    """The hints that a run has archived; the argument is the run."""
    SUITE = "suite"
    """The hints of a suite; the argument is its name or folder."""


WRITER_LABELS = {
    WriterKind.LANGUAGE: "hint language", WriterKind.TRIGGERS: "triggers", WriterKind.MODEL: "model",
    WriterKind.RUN_ADVERSARY: "run's Adversary", WriterKind.ARCHIVE: "run's archive", WriterKind.SUITE: "suite",
}  # fmt: skip
OWN_WRITERS = (WriterKind.LANGUAGE, WriterKind.TRIGGERS)
"""Writers that need no argument and ask no model."""


@dataclass(frozen=True, slots=True)
class WriterSpec:
    """One writer. `argument` names the model, run or suite; empty for `OWN_WRITERS`."""

    kind: WriterKind
    argument: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else str(self.kind)

    @property
    def label(self) -> str:
        return f"{WRITER_LABELS[self.kind]} {self.argument}".strip()

    @property
    def asks_model(self) -> bool:
        return self.kind in (WriterKind.MODEL, WriterKind.RUN_ADVERSARY)


def parse_writer(text: str) -> WriterSpec:
    """`language`, `triggers`, `model:NAME`, `run_adversary:RUN[@STEP]`, `archive:RUN` or `suite:NAME`."""
    name, _, argument = text.strip().partition(":")
    try:
        kind = WriterKind(name.strip().replace("-", "_"))
    except ValueError as error:
        known = ", ".join(str(k) if k in OWN_WRITERS else f"{k}:…" for k in WriterKind)
        raise UserError(f"{text!r} names no writer of hints. There are: {known}.") from error
    return check_writer(WriterSpec(kind, argument.strip()))


def check_writer(writer: WriterSpec) -> WriterSpec:
    """The writer, if it has the argument that its kind needs."""
    if writer.kind in OWN_WRITERS and writer.argument:
        raise UserError(f"The writer {writer.kind} takes no argument, and {writer.argument!r} was given.")
    if writer.kind not in OWN_WRITERS and not writer.argument:
        raise UserError(f"The writer {writer.kind} needs an argument, as in {writer.kind}:NAME.")
    return writer


@dataclass(frozen=True, slots=True)
class ProblemChoice:
    """Where the problems come from: `BUNDLED`, `SUITE` + name, `RUN` + run, or a file, a preset or a hub data set.
    `families` restricts the bundled ones."""

    source: str = BUNDLED
    count: int = 160
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """Everything that decides a campaign.

    `target` is a model as everywhere: 'starter', a folder, a GGUF file, a run's checkpoint, an endpoint. `samples`
    answers are drawn for each prompt at `temperature`; greedy ones are all the same, so there is one. `confirm_share`
    and `minimise_share` are the parts of the budget, and of the problems, that confirmation and the search for minimal
    forms have for themselves; the rest is for screening. `alpha` is the probability of any false weakness in a campaign
    on a target without one. `max_confirmed` recipes at most are tested for confirmation.
    """

    target: str
    name: str = ""
    writers: tuple[WriterSpec, ...] = (WriterSpec(WriterKind.LANGUAGE), WriterSpec(WriterKind.TRIGGERS))
    problems: ProblemChoice = ProblemChoice()
    types: tuple[HintType, ...] = tuple(HintType)
    budget: Budget = Budget(requests=2000)
    samples: int = 1
    temperature: float = 0.0
    max_tokens: int = 0
    """Longest solution; 0: what suits the target."""
    seed: int = 2605
    confirm_share: float = 0.45
    minimise_share: float = 0.15
    alpha: float = 0.05
    max_confirmed: int = 6
    placement: Placement = Placement.APPEND
    validity: JudgeOptions = JudgeOptions()
    created: str = ""

    @property
    def title(self) -> str:
        return self.name or f"red team of {Path(self.target).name or self.target}"

    @property
    def type_labels(self) -> tuple[str, ...]:
        return tuple(TYPE_LABELS[t] for t in self.types)


FEWEST_PROBLEMS = 20


def check_plan(plan: CampaignPlan) -> dict[str, str]:
    """What is wrong with a plan: field → reason, empty where nothing is. Reads no files and asks no model."""
    shares_left = 1 - plan.confirm_share - plan.minimise_share
    checks = (
        ("target", bool(plan.target.strip()), "Choose a target."),
        ("writers", bool(plan.writers), "Choose at least one writer of hints."),
        ("writers", not (bad := _bad_writer(plan.writers)), bad),
        ("types", bool(plan.types), "Choose at least one hint type."),
        ("problems", plan.problems.count >= FEWEST_PROBLEMS,
         f"A campaign needs at least {FEWEST_PROBLEMS} problems; {plan.problems.count} were asked for."),
        ("budget", bool(plan.budget), "Set at least one limit: requests, tokens, money or minutes."),
        ("budget", all(limit is None or limit > 0 for limit in asdict(plan.budget).values()),
         "Each limit of the budget must be above 0."),
        ("samples", 1 <= plan.samples <= MAX_SAMPLES, f"Samples must be 1 to {MAX_SAMPLES}."),
        ("samples", plan.temperature > 0 or plan.samples == 1,
         "At temperature 0 all samples are equal: use 1, or a temperature above 0."),
        ("temperature", plan.temperature >= 0, "The temperature must be 0 or more."),
        ("max_tokens", plan.max_tokens >= 0, "The longest solution must be 0 (what suits the target) or more."),
        ("confirm_share", plan.confirm_share > 0 and plan.minimise_share >= 0 and shares_left >= 0.05,
         "Confirmation and minimal forms must leave at least 5% of the budget for screening."),
        ("alpha", 0 < plan.alpha < 1, "alpha must lie between 0 and 1."),
        ("max_confirmed", plan.max_confirmed >= 1, "At least one recipe must be tested for confirmation."),
    )  # fmt: skip
    found: dict[str, str] = {}
    for name, holds, otherwise in checks:
        if not holds:
            found.setdefault(name, otherwise)
    return found


def _bad_writer(writers: Sequence[WriterSpec]) -> str:
    for writer in writers:
        try:
            check_writer(writer)
        except UserError as error:
            return str(error)
    return ""


def require_sound(plan: CampaignPlan) -> None:
    """Raise a UserError with all that is wrong with the plan."""
    if found := check_plan(plan):
        raise UserError(f"The campaign cannot be started. {' '.join(found.values())}")


def plan_to_json(plan: CampaignPlan) -> str:
    return json.dumps({"format": FORMAT, **asdict(plan)}, ensure_ascii=False, indent=1) + "\n"


def plan_from_json(text: str, place: str) -> CampaignPlan:
    """Read plan.json; fields that are not known are ignored. `place` is the file's name for the UserError."""
    return decode_format(text, CampaignPlan, FORMAT, place, "Restore it from a copy, or start a new campaign.")


# ---------------------------------------------------------------------- the folder


@dataclass(frozen=True)
class CampaignDir(RunPaths):
    """The files of one campaign. To whatever stops, tails or removes a process's folder it is like a run's."""

    plan = FileAt(PLAN)
    config = FileAt(PLAN)
    rows = FileAt("rows.db")
    material = FileAt("material.json")
    """The problems, and hints that are there already; written at the first launch."""
    result = FileAt(RESULT)
    lock = FileAt("campaign.lock")
    log = FileAt("campaign.log")


def campaigns_root() -> Path:
    return data_folder() / "campaigns"


def new_campaign(plan: CampaignPlan, root: Path | None = None) -> CampaignDir:
    """Make a campaign's folder with its plan; nothing runs yet. A UserError for a plan that is not sound."""
    require_sound(plan)
    root = root or campaigns_root()
    slug = re.sub(r"[^\w.-]+", "-", plan.title).strip("-.")[:60] or "campaign"
    wanted = f"{datetime.now():%Y%m%d-%H%M%S}-{slug}"
    check_database_path(CampaignDir(root / wanted).rows)
    with explained("Making the campaign's folder", root / wanted):
        root.mkdir(parents=True, exist_ok=True)
        paths = CampaignDir(make_folder(root, wanted))
    created = plan.created or datetime.now(UTC).isoformat(timespec="seconds")
    write_whole(paths.plan, plan_to_json(replace(plan, created=created)))
    return paths


def read_plan(paths: CampaignDir) -> CampaignPlan:
    text = read_text(paths.plan, f"{paths.root} holds no campaign: {PLAN} is missing.")
    return plan_from_json(text, str(paths.plan))


def find_campaign(name: str, root: Path | None = None) -> CampaignDir:
    """The campaign of that id under the root, of a unique beginning or part of one, or in that folder."""
    root = root or campaigns_root()
    for folder in (root / name, expanded(name)):
        if name and (folder / PLAN).is_file():
            return CampaignDir(folder.resolve())
    near = [paths for paths in list_folders(root) if name and name in paths.run_id]
    if len(near) == 1:
        return near[0]
    there = ", ".join(p.run_id for p in (near or list_folders(root))[:5])
    known = f"There are: {there}." if there else "There is none yet: start one with: seirenes redteam TARGET"
    raise UserError(f"{'More than one campaign' if near else 'No campaign'} {name!r} in {root}. {known}")


def list_folders(root: Path | None = None) -> list[CampaignDir]:
    """All campaigns, newest first."""
    root = root or campaigns_root()
    if not root.is_dir():
        return []
    folders = [f for f in root.iterdir() if (f / PLAN).is_file() and not f.name.startswith(".")]
    # Their names begin with the time at which they were made.
    return [CampaignDir(f) for f in sorted(folders, key=lambda f: f.name, reverse=True)]


# ---------------------------------------------------------------------- the state


class CampaignStage(StrEnum):
    """What a campaign is doing, in this order."""

    GENERATE = "generate"
    """Reading problems and writers, loading models, solving the problems clean."""
    SCREEN = "screen"
    SELECT = "select"
    CONFIRM = "confirm"
    MINIMISE = "minimise"
    DONE = "done"


STAGE_LABELS = {
    CampaignStage.GENERATE: "preparing", CampaignStage.SCREEN: "screening", CampaignStage.SELECT: "selecting",
    CampaignStage.CONFIRM: "confirming", CampaignStage.MINIMISE: "finding minimal forms", CampaignStage.DONE: "done",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BestSoFar:
    """A recipe that did well in screening: not confirmed, and flattered by having been selected. `loss` is the mean
    accuracy lost beyond the placebo on `n` problems."""

    title: str
    type: HintType
    writer: str
    hint: str
    loss: float
    n: int


@dataclass(frozen=True, kw_only=True)
class CampaignState(ProcessState):
    """Progress of a campaign. `campaign_stage` is None before the first one. `share` is of the budget that is nearest
    to its limit, from 0 to 1; `eta_s` seconds that are left at most, None before anything was measured. `recipes` were
    tried so far."""

    campaign_stage: CampaignStage | None = None
    spent: Spent = Spent()
    budget: Budget = Budget()
    share: float = 0.0
    eta_s: float | None = None
    recipes: int = 0
    confirmed: int = 0
    best: tuple[BestSoFar, ...] = ()
    doing: str = ""
    """A detail of the stage, in words."""


def shares_of(budget: Budget, spent: Spent) -> Mapping[str, float]:
    """How much of each limit is spent, from 0 to 1; limits that are not set are left out."""
    used = {
        "requests": spent.requests,
        "tokens": spent.tokens,
        "money": spent.cost or 0.0,
        "minutes": spent.seconds / 60,
    }
    limits = {"requests": budget.requests, "tokens": budget.tokens, "money": budget.money, "minutes": budget.minutes}
    return {name: min(1.0, used[name] / limit) for name, limit in limits.items() if limit}


def reduce(state: CampaignState, event: Event) -> CampaignState:
    state = reduce_process(state, event)
    d = event.data
    if event.kind not in (EventKind.STAGE, EventKind.LAUNCH, EventKind.DONE):
        return state
    spent = _read(Spent, d.get("spent"), state.spent)
    budget = _read(Budget, d.get("budget"), state.budget)
    best = state.best
    if isinstance(d.get("best"), list):
        best = tuple(b for row in d["best"] if (b := _best(row)) is not None)
    stage = state.campaign_stage
    if d.get("stage") in list(CampaignStage):
        stage = CampaignStage(d["stage"])
    over = event.kind == EventKind.DONE
    if over and state.status is RunStatus.FINISHED:
        stage = CampaignStage.DONE
    eta = d.get("eta_s")
    share = max(shares_of(budget, spent).values(), default=0.0)
    return replace(
        state, campaign_stage=stage, spent=spent, budget=budget, best=best,
        share=1.0 if over and state.status is RunStatus.FINISHED else share,
        eta_s=None if over or eta is None else float(eta), recipes=int(d.get("recipes", state.recipes)),
        confirmed=int(d.get("confirmed", state.confirmed)), doing="" if over else str(d.get("doing", state.doing)),
    )  # fmt: skip


def _read(kind: Any, data: object, otherwise: Any) -> Any:
    try:
        known = kind.__dataclass_fields__
        return kind(**{k: v for k, v in data.items() if k in known}) if isinstance(data, Mapping) else otherwise
    except (TypeError, ValueError):
        return otherwise


def _best(row: object) -> BestSoFar | None:
    try:
        assert isinstance(row, Mapping)
        return BestSoFar(
            str(row["title"]), HintType(row["type"]), str(row["writer"]), str(row["hint"]), float(row["loss"]),
            int(row["n"]),
        )  # fmt: skip
    except (AssertionError, KeyError, TypeError, ValueError):
        return None


class CampaignWatch(LoggedWatch[CampaignState]):
    """One campaign's state, read forward; a crash comes with the end of its log."""

    def __init__(self, paths: CampaignDir) -> None:
        super().__init__(paths, CampaignState(), reduce, _resolve)


def _resolve(state: CampaignState, holder: Any, now: float, *, launched: bool = False) -> CampaignState:
    return resolve_status(state, holder, now, launched=launched, process="The campaign's process")


@dataclass(frozen=True, slots=True)
class CampaignSummary:
    """One campaign; `problem` says why plan or state is missing. `started`: a process was started for it."""

    paths: CampaignDir
    plan: CampaignPlan | None
    state: CampaignState | None
    started: bool = False
    problem: str | None = None

    @property
    def has_result(self) -> bool:
        return self.paths.result.is_file()

    @property
    def live(self) -> bool:
        """Whether its process is at work, or is about to be."""
        return self.started and self.state is not None and not self.state.over

    @property
    def paused(self) -> bool:
        """Whether its process holds until it is asked to continue."""
        return self.live and self.state is not None and self.state.status is RunStatus.PAUSED


def read_summary(paths: CampaignDir, watch: CampaignWatch | None = None) -> CampaignSummary:
    plan = None
    try:
        plan = read_plan(paths)
        state = (watch or CampaignWatch(paths)).poll()
        return CampaignSummary(paths, plan, state, paths.launch.is_file() or state.last_t > 0)
    except (UserError, OSError) as error:
        return CampaignSummary(paths, plan, None, problem=str(error))


class CampaignRepository:
    """All campaigns under one root, their states read forward. Call it off the window's thread, from one at a time."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or campaigns_root()
        self._watches: dict[Path, CampaignWatch] = {}

    def summaries(self, newest: int | None = None) -> list[CampaignSummary]:
        """Newest first, so many at most; broken folders are listed with their `problem`."""
        return [
            read_summary(paths, self._watches.setdefault(paths.root, CampaignWatch(paths)))
            for paths in list_folders(self.root)[:newest]
        ]

    def find(self, name: str) -> CampaignDir:
        return find_campaign(name, self.root)

    def start(self, plan: CampaignPlan) -> CampaignDir:
        paths = new_campaign(plan, self.root)
        start_campaign(paths)
        return paths


def start_campaign(paths: CampaignDir) -> int:
    """Start, or resume, a campaign in a detached process; returns its PID. One that runs is a UserError."""
    require_idle(paths, f"The campaign {paths.run_id}")
    return start_process(paths, [MODULE])


def stop_campaign(paths: CampaignDir) -> None:
    """Ask a campaign to stop. What it has is kept, and it can be resumed. Returns at once; for a stop that ends the
    process where it does not obey, use `StopEscalation`."""
    send_command(paths, CommandKind.STOP)


def rename_campaign(paths: CampaignDir, name: str) -> None:
    """Give a campaign another name; its folder keeps its own."""
    write_whole(paths.plan, plan_to_json(replace(read_plan(paths), name=name.strip())))


# ---------------------------------------------------------------------- before a start


@dataclass(frozen=True, slots=True)
class CampaignEstimate:
    """What a campaign takes at most, by stage. `requests` None: only tokens, money or minutes limit it.

    `confirmable`: recipes that can be tested for confirmation on all of its problems within the budget. `detectable`:
    the loss, as a share, that one such test detects in about four of five cases.
    """

    requests: int | None
    screening: int | None
    confirmation: int | None
    minimising: int | None
    confirmable: int | None
    confirm_problems: int
    detectable: float
    notes: tuple[str, ...] = field(default=())


def split_counts(plan: CampaignPlan, there: int | None = None) -> tuple[int, int, int]:
    """Problems for screening, confirmation and minimal forms; `there`: how many there are, None for the plan's."""
    count = plan.problems.count if there is None else min(there, plan.problems.count)
    confirm = max(1, round(count * plan.confirm_share))
    minimise = round(count * plan.minimise_share)
    return max(1, count - confirm - minimise), confirm, minimise


def estimate_campaign(plan: CampaignPlan) -> CampaignEstimate:
    """What the budget is divided into, and what can be found with it. Reads nothing; never raises."""
    screen, confirm, _ = split_counts(plan)
    total = plan.budget.requests
    notes: list[str] = []
    per_recipe = 2 * confirm * plan.samples
    confirmable = None
    if total is not None:
        for_confirm = int(total * plan.confirm_share)
        confirmable = max(0, min(plan.max_confirmed, (for_confirm - confirm * plan.samples) // per_recipe))
        if confirmable < 1:
            notes.append(
                f"The budget confirms no recipe on all {confirm} problems that are kept for that: fewer will be used, "
                "and only large effects can be confirmed."
            )
        if total * (1 - plan.confirm_share - plan.minimise_share) < 3 * screen * plan.samples:
            notes.append("The budget allows hardly more than one round of screening.")
    if plan.validity.model == "" and any(w.kind not in OWN_WRITERS for w in plan.writers):
        notes.append(
            "No judge is configured: hints of models that no rule decides are tried as they are, and the result says "
            "which weaknesses rest on them."
        )
    return CampaignEstimate(
        total,
        None if total is None else int(total * (1 - plan.confirm_share - plan.minimise_share)),
        None if total is None else int(total * plan.confirm_share),
        None if total is None else int(total * plan.minimise_share),
        confirmable, confirm, detectable_loss(confirm, plan.alpha / max(1, confirmable or plan.max_confirmed)),
        tuple(notes),
    )  # fmt: skip


def detectable_loss(problems: int, alpha: float, discordant: float = 0.3) -> float:
    """The mean paired loss that a two-sided test at `alpha` detects with 80% power (Connor 1987 without its small
    correction): (z₁₋α/₂ + z₀.₈)·√(ψ/n), with the share ψ of problems whose outcome differs."""
    quantiles = normal_quantile(1 - alpha / 2) + normal_quantile(0.8)
    return float(min(1.0, quantiles * (discordant / max(1, problems)) ** 0.5))


def types_from(names: Sequence[str]) -> tuple[HintType, ...]:
    """Hint types by their keys, with - or _; all of them for none. A UserError for one that is not there."""
    try:
        return tuple(HintType(n.strip().replace("-", "_")) for n in names) or tuple(HintType)
    except ValueError as error:
        raise UserError(f"{error}. Hint types are: {', '.join(HintType)}.") from error
