"""How long an evaluation will take here, what it will cost at endpoints, and how wide its intervals will be, before it
starts.

Time is what earlier evaluations measured on the same models. For a model that was never measured it is a range by its
size, which the evaluation itself replaces as soon as its first completions are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seirenes_app.services import estimate, evaluations
from seirenes_app.services.evaluation_request import EvalRequest, count_rows
from seirenes_app.services.exact_prompt import EXAMPLE, EXAMPLE_HINT
from seirenes_app.services.formatting import count_of, duration, points
from seirenes_app.services.machine import usable_cores
from training.core.prompts import PromptProfile, reasoner_messages
from training.core.statistics import expected_half_width
from training.core.types import Condition, HintType
from training.endpoints import CostEstimate, find_endpoint, names_endpoint, usual_prompt_tokens
from training.endpoints import estimate as estimate_cost
from training.errors import UserError
from training.evaluation.plan import USUAL_HINTS, EvalPlan, Target, TargetKind
from training.evaluation.status import USUAL_LENGTH, Pace
from training.prompt_files import NEUTRAL, built_in
from training.runs.config import RunConfig, load_config
from training.runs.paths import RunPaths

LOADING_S = 6.0  # time to load a model
REPLY_S = (0.5, 15.0)  # what a reply of an endpoint usually takes, from and to
WRITING_SHARE = 0.6  # time for writing a cross-play's hints, as a share of its solving time
BY_SIZE = 3.0  # how far a guess by size may be off, either way
CUT_OFF = 0.8  # mean length over the limit from which completions are taken to be cut off by it


@dataclass(frozen=True)
class TimeRange:
    """Seconds from `low` to `high`, which are equal where all models were measured, and what they rest on."""

    low: float
    high: float
    basis: str

    @property
    def text(self) -> str:
        low, high = duration(self.low), duration(self.high)
        return f"about {low}" if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class _Model:
    """A model to evaluate: any of the `names` that earlier plans may have for it, and its size; `seconds` a completion,
    from and to, of an endpoint."""

    names: frozenset[str]
    parameters: int
    seconds: tuple[float, float] | None = None


def estimate_request(request: EvalRequest, past: Sequence[evaluations.EvaluationSummary]) -> TimeRange:
    """The time of what is asked. Reads the headers of model files."""
    models = [_Model(frozenset({run.run_id}), _size_of_run(run)) for run, _step in request.checkpoints]
    models += [_model_of(frozenset({evaluations.model_key(m)}), m) for m in request.models]
    writing = WRITING_SHARE if request.cross_play else 0.0
    return _estimate(models, count_rows(request) / max(1, len(models)) * (1 + writing), request.max_tokens, past)


def estimate_plan(plan: EvalPlan, past: Sequence[evaluations.EvaluationSummary]) -> TimeRange:
    """The time of a plan."""
    models = [_model_of(_names_of(target), target.path) for target in plan.targets]
    writing = WRITING_SHARE if plan.writing is not None else 0.0
    return _estimate(models, plan_rows(plan) / len(models) * (1 + writing), plan.max_tokens, past)


def request_costs(request: EvalRequest, past: Sequence[evaluations.EvaluationSummary] = ()) -> tuple[CostEstimate, ...]:
    """What each endpoint of a request will take. A UserError for one that is not there."""
    rows = count_rows(request) // max(1, len(request.checkpoints) + len(request.models))
    return tuple(
        _endpoint_cost(model, request.prompts, rows, request.max_tokens, past)
        for model in request.models
        if names_endpoint(model)
    )


def plan_costs(plan: EvalPlan, past: Sequence[evaluations.EvaluationSummary] = ()) -> tuple[CostEstimate, ...]:
    """The same of a plan, with what its writers write."""
    rows = plan_rows(plan) // len(plan.targets)
    found = [
        _endpoint_cost(t.path, t.prompts, rows, plan.max_tokens, past)
        for t in plan.targets
        if t.kind is TargetKind.ENDPOINT
    ]
    for suite in plan.suites:
        writer, how = plan.model(suite.writer) if suite.writer else None, plan.writing
        if writer is not None and how is not None and writer.kind is TargetKind.ENDPOINT:
            written = suite.problems * len(HintType) * how.attempts
            found.append(_endpoint_cost(writer.path, writer.prompts, written, how.max_tokens, ()))
    return tuple(found)


def _endpoint_cost(
    model: str, profile: PromptProfile | None, rows: int, max_tokens: int,
    past: Sequence[evaluations.EvaluationSummary],
) -> CostEstimate:  # fmt: skip
    """Of `rows` completions. Their usual length is that of the newest evaluation of the endpoint, else a share of the
    limit; prompts are as long as one of a usual problem with a hint."""
    endpoint = find_endpoint(model)
    pace = _newest_pace(frozenset({evaluations.model_key(model)}), past)
    length = pace.tokens / pace.rows if pace is not None else USUAL_LENGTH * max_tokens
    prompt = usual_prompt_tokens(reasoner_messages(f"{EXAMPLE} {EXAMPLE_HINT}", profile or built_in(NEUTRAL)))
    return estimate_cost(endpoint, rows, prompt, max_tokens, length)


def _newest_pace(names: frozenset[str], past: Sequence[evaluations.EvaluationSummary]) -> Pace | None:
    for summary in past:
        if summary.plan is not None and summary.state is not None:
            same = [target for target in summary.plan.targets if names & _names_of(target)]
            pace = sum((summary.state.paces.get(target.name, Pace()) for target in same), Pace())
            if pace.rows:
                return pace
    return None


def plan_rows(plan: EvalPlan) -> int:
    """Completions of a plan, with the usual number of hints a problem."""
    prompts = {c: 1 if c in (Condition.CLEAN, Condition.NEEDED) else USUAL_HINTS for c in Condition}
    asked = sum(suite.problems * sum(prompts[c] for c in plan.conditions_of(suite)) for suite in plan.suites)
    return asked * plan.samples * len(plan.targets)


def precision_text(problems: int, rows: int) -> str:
    """How wide intervals will be at most; `rows` are those of one problem under one condition."""
    return f"An accuracy near 50% will be known to ±{points(expected_half_width(problems, rows))} points."


def precision_of_plan(plan: EvalPlan) -> str:
    """The same for a plan's smallest suite."""
    conditions = {condition for suite in plan.suites for condition in plan.conditions_of(suite)}
    hints = 1 if conditions <= {Condition.CLEAN, Condition.NEEDED} else USUAL_HINTS
    return precision_text(min(suite.problems for suite in plan.suites), plan.samples * hints)


def _names_of(target: Target) -> frozenset[str]:
    return frozenset(name for name in (target.fingerprint, target.run or target.path) if name)


def _estimate(
    models: Sequence[_Model], rows: float, max_tokens: int, past: Sequence[evaluations.EvaluationSummary]
) -> TimeRange:
    low = high = LOADING_S * len(models)
    measured = 0
    for model in models:
        found = _measured_row(model.names, max_tokens, past)
        measured += found is not None
        fast, slow = found or model.seconds or _guessed_row(model.parameters, max_tokens)
        low, high = low + rows * fast, high + rows * slow
    if measured == len(models):
        return TimeRange(low, high, "measured in an earlier evaluation of the same model")
    after = "measured once the first problems are solved"
    if not measured:
        served = all(model.seconds is not None for model in models)
        basis = "guessed from what endpoints usually take" if served else "guessed from the model's size"
        return TimeRange(low, high, f"{basis}, {after}")
    others = count_of(len(models) - measured, "model")
    return TimeRange(low, high, f"guessed from its size for {others} of {len(models)}, {after}")


def _measured_row(
    names: frozenset[str], max_tokens: int, past: Sequence[evaluations.EvaluationSummary]
) -> tuple[float, float] | None:
    """Seconds a completion, from and to, in the newest evaluation of the model; None where there is none."""
    for summary in past:
        if summary.plan is None or summary.state is None:
            continue
        same = [target for target in summary.plan.targets if names & _names_of(target)]
        pace = sum((summary.state.paces.get(target.name, Pace()) for target in same), Pace())
        if pace.rows and pace.seconds:
            return _row_seconds(pace, summary.plan.max_tokens, max_tokens)
        # Evaluations of older versions know one rate for all of their models.
        if summary.state.rows_per_s > 0 and same and len(same) == len(summary.plan.targets):
            return 1 / summary.state.rows_per_s, 1 / summary.state.rows_per_s
    return None


def _row_seconds(pace: Pace, limit: int, max_tokens: int) -> tuple[float, float]:
    """Seconds a completion under another limit of tokens. Where the old one cut most off, the new length is unknown."""
    seconds, length = pace.seconds / pace.rows, max(1.0, pace.tokens / pace.rows)
    shorter = min(1.0, max_tokens / length)
    longer = max(1.0, max_tokens / length) if max_tokens > limit and length > CUT_OFF * limit else shorter
    return seconds * shorter, seconds * longer


def _model_of(names: frozenset[str], model: str) -> _Model:
    if not names_endpoint(model):
        return _Model(names, _size_of(model))
    try:
        endpoint = find_endpoint(model)
    except UserError:  # the cost says what is wrong with it
        return _Model(names, 0, REPLY_S)
    # As many at a time as are allowed, and no more a minute than that.
    least = 60 / endpoint.requests_per_minute if endpoint.requests_per_minute else 0.0
    low, high = (max(least, seconds / endpoint.concurrency) for seconds in REPLY_S)
    return _Model(names, 0, (low, high))


def _guessed_row(parameters: int, max_tokens: int) -> tuple[float, float]:
    config = RunConfig()
    one = replace(config, evaluation=replace(config.evaluation, problems=1, max_new_tokens=max_tokens))
    seconds = estimate.eval_seconds(one, parameters, usable_cores()) / estimate.EVAL_CONDITIONS
    return seconds / BY_SIZE, seconds * BY_SIZE


def _size_of_run(run: RunPaths) -> int:
    try:
        return estimate.model_parameters(load_config(run.config))
    except (UserError, OSError):
        return estimate.STARTER_PARAMETERS


def _size_of(model: str) -> int:
    if model == evaluations.STARTER:
        return estimate.STARTER_PARAMETERS
    path = Path(evaluations.model_key(model))
    if path.suffix != ".gguf":
        return estimate.count_parameters(path) or estimate.STARTER_PARAMETERS
    try:
        # One byte a weight, between 4 and 16 bits.
        return max(estimate.STARTER_PARAMETERS, path.stat().st_size)
    except OSError:
        return estimate.STARTER_PARAMETERS
