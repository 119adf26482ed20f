"""Judges in the app: what is known of one, asking it about hints, measuring it on the labelled hints. No Qt.

The judge itself runs in a `python -m training judge` process, so that the window never waits for it and can end it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from seirenes_app.services.formatting import duration, percent, percent_interval
from seirenes_app.services.models.check import ask_process
from training.core.types import Problem
from training.core.validity import OFF, Ballot, Decision, JudgeOptions, JudgeQuestion, Ruling
from training.endpoints import (
    CostEstimate,
    estimate,
    find_endpoint,
    list_endpoints,
    names_endpoint,
    usual_prompt_tokens,
)
from training.errors import UserError
from training.evaluation.hint_labels import USEFUL, Agreement, judged_hints, measure_agreement
from training.judges import (
    STARTER,
    JudgeMeasurement,
    find_judge,
    find_measurement,
    keep_measurement,
    known_measurements,
)
from training.runs.config import Mode, RunConfig
from training.runs.status import RunState

OnProgress = Callable[[float, int], object]
"""Called with the hints that are done, in part, and their number."""
SLOW_STEP_S = 60.0
"""A judge that takes longer than this a step is warned of."""


@dataclass(frozen=True, slots=True)
class JudgeStanding:
    """What is known of a judge: its `name`, its measurement, or why it cannot be used."""

    name: str
    measured: JudgeMeasurement | None = None
    problem: str = ""

    @property
    def useful(self) -> bool:
        return self.measured is not None and self.measured.agreement.useful

    @property
    def text(self) -> str:
        """In a line, for a person."""
        if self.problem:
            return self.problem
        return f"{self.name}: {self.figures}"

    @property
    def figures(self) -> str:
        """Its precision and recall, or that they are not measured."""
        return describe_agreement(self.measured.agreement) if self.measured is not None else "not measured"

    @property
    def warning(self) -> str:
        """Why its decisions should not be relied on; "" where they can be."""
        if self.problem:
            return self.problem
        if self.measured is None:
            return (
                f"The judge {self.name} has not been measured with these options: how often it is right is not known. "
                "Measure it first, where it is chosen or by: seirenes judge measure"
            )
        found = self.measured.agreement
        if found.useful:
            return ""
        return (
            f"The judge {self.name} is not reliable: {describe_agreement(found)}. The lower limits of precision and "
            f"recall should reach {percent(USEFUL)}."
        )


def describe_agreement(found: Agreement) -> str:
    """Precision and recall with their limits, n and what was not decided, in a line."""
    right, caught = percent_interval(found.precision), percent_interval(found.recall)
    return f"precision {right}, recall {caught}, {percent(found.abstained)} not decided (n = {found.n})"


def describe_judge(state: RunState) -> str:
    """The judge of a run, and how it was measured when the run was started; "" without one."""
    if not state.judge:
        return ""
    try:
        measured = msgspec.convert(state.judge.get("measured"), JudgeMeasurement | None)
    except msgspec.ValidationError:  # of another version
        measured = None
    return JudgeStanding(str(state.judge.get("name", "")), measured).text


def judge_standing(options: JudgeOptions, start: str = STARTER) -> JudgeStanding:
    """What is known of the judge that the options name. Reads small files: call it off the window's thread."""
    try:
        ref = find_judge(options.model, start)
    except UserError as error:
        return JudgeStanding(options.model, problem=str(error))
    return JudgeStanding(ref.name, find_measurement(ref, options))


def judge_warnings(config: RunConfig) -> tuple[str, ...]:
    """What to know about a run's judge before it starts."""
    if config.judge.model == OFF or config.mode is Mode.CLEAN_RL:
        return ()
    found = judge_standing(config.judge, config.model.path)
    warnings = [found.warning] if found.warning else []
    if found.measured is not None:
        # At most: hints that a rule decides cost nothing.
        step_s = config.rollout.questions * config.rollout.hints * found.measured.agreement.seconds
        if step_s > SLOW_STEP_S:
            warnings.append(
                f"The judge {found.name} takes up to {duration(step_s)} of each step. Fewer votes (judge.votes) or "
                "another judge take less."
            )
    return tuple(warnings)


def known_judges() -> list[str]:
    """Values of `judge.model` that were measured, the useful ones first, then the newest; the bundled model; and the
    endpoints."""
    newest = sorted(known_measurements(), key=lambda m: (m.agreement.useful, m.measured_at), reverse=True)
    saved = []
    with suppress(UserError):  # a damaged list, which the Models page names
        saved = [endpoint.argument for endpoint in list_endpoints()]
    return list(dict.fromkeys([*(m.model for m in newest), STARTER, *saved]))


# ---------------------------------------------------------------------- asking


def ask_judge(
    options: JudgeOptions, hints: Sequence[tuple[Problem, str]], *, start: str = STARTER,
    on_progress: OnProgress = lambda _done, _total: None, cancelled: Callable[[], bool] = lambda: False,
) -> list[Decision]:  # fmt: skip
    """A decision on each hint, in their order. Blocks: off the window's thread. Raises a UserError, `Cancelled`."""
    return [decision for decision, _ in _decide(options, hints, start, on_progress, cancelled)]


def _decide(
    options: JudgeOptions, hints: Sequence[tuple[Problem, str]], start: str, on_progress: OnProgress,
    cancelled: Callable[[], bool],
) -> list[tuple[Decision, float]]:  # fmt: skip
    """Decisions with the seconds that each took."""
    request = {
        "judge": msgspec.to_builtins(options), "start": start,
        "hints": [{"question": problem.question, "hint": hint} for problem, hint in hints],
    }  # fmt: skip
    lines = read_rulings(request, on_progress, cancelled)
    return [(_decision(line), float(line["seconds"])) for line in lines]


def read_rulings(
    request: Mapping[str, Any], on_progress: OnProgress, cancelled: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """The rulings of a judge's process on the `hints` of the request, in their order, with progress between them.
    Raises a UserError, `Cancelled`."""
    total, found, shown = len(request["hints"]), 0, 0.0
    on_progress(shown, total)
    for line in ask_process("judge", request, cancelled):
        if "ruling" in line:
            found += 1
            yield line
        # A part is decided as a whole: its lines come after its progress.
        shown = max(shown, float(line.get("done", found)))
        on_progress(shown, total)


def _decision(line: Mapping[str, Any]) -> Decision:
    return Decision(Ruling(line["ruling"]), msgspec.convert(line["ballots"], tuple[Ballot, ...]), int(line["votes"]))


def measuring_cost(options: JudgeOptions, limit: int = 0) -> CostEstimate | None:
    """What `measure_judge` takes of an endpoint; None for a model on this machine. Raises a UserError."""
    if not names_endpoint(options.model):
        return None
    chats = [JudgeQuestion(h.problem.question, h.text, 0).messages() for h in judged_hints(limit)]
    prompt = sum(map(usual_prompt_tokens, chats)) / max(1, len(chats))
    # A yes or a no, where the model does not reason first.
    return estimate(find_endpoint(options.model), len(chats) * options.votes, prompt, options.max_tokens, 4)


def measure_judge(
    options: JudgeOptions, limit: int = 0, *, start: str = STARTER,
    on_progress: OnProgress = lambda _done, _total: None, cancelled: Callable[[], bool] = lambda: False,
) -> JudgeMeasurement:  # fmt: skip
    """Ask the judge about the labelled hints (`limit`: so many of them) and keep how it agrees with them.

    Blocks, for minutes: off the window's thread. Raises a UserError, also where the judge could not be asked about
    every hint; `Cancelled`.
    """
    ref = find_judge(options.model, start)
    hints = judged_hints(limit)
    decided = _decide(options, [(h.problem, h.text) for h in hints], start, on_progress, cancelled)
    failed = next((decision.failure for decision, _ in decided if decision.failure), "")
    if failed:
        raise UserError(f"The judge could not be asked about every hint, so it is not measured. {failed}")
    agreement = measure_agreement(
        [h.valid for h in hints], [decision.ruling for decision, _ in decided], [h.problem.question for h in hints],
        sum(seconds for _, seconds in decided),
    )  # fmt: skip
    return keep_measurement(ref, options, agreement)
