"""An audit of a run's hints: a sample of its late valid ones in a file for a person to label, and how many of them
should not have passed the gates: by a person's labels, and by the consensus of a solver.

The file `audit.jsonl` has one hint a line. A person sets `valid` to true where the true answer stays with the hint, and
to false where the hint changes the answer or states it; null is not labelled yet. Labels are never changed or dropped
here.

A solver answers each problem with the hint and without. Where it solves the problem by a majority and gives another
answer by a majority under the hint, its consensus is that the answer changed. A solver that is misled counts as that
too, so its rate is an upper estimate. No Qt."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from seirenes_app.services.formatting import count_of, percent, percent_interval
from seirenes_app.services.hint_authoring.problems import as_problem, guess_kind
from seirenes_app.services.judging import read_rulings
from seirenes_app.services.traces import TraceSource, row_problem
from training.core.gates import DECIDED_BY, NOBODY, GateTier
from training.core.hint_language import decides, parse_hint
from training.core.statistics import Interval, wilson_clustered
from training.core.types import Problem, Stage
from training.core.validity import OFF, Ruling
from training.errors import UserError
from training.evaluation.hint_labels import false_pass_rate
from training.judges import find_judge
from training.prompt_files import AUTO
from training.rollouts.database import PASSED
from training.rollouts.reader import RolloutQuery
from training.runs.config import load_config
from training.runs.files import explained, write_whole
from training.runs.paths import RunPaths
from training.runs.status import RunState

HINTS = 300
LATE = 0.25
"""Share of the steps, the last ones, whose hints are sampled."""
_BATCH = 500


class DecidedBy(StrEnum):
    """What let a hint through."""

    FORM = "form"
    """It is a hint of the hint language whose form leaves the answer as it is."""
    JUDGE = "judge"
    """The votes of a model."""
    RULES = "rules"
    """No rule refused it."""


class AuditedHint(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file. `rollout` is the hint's id in the run's rollouts."""

    rollout: int
    step: int
    type: str
    family: str
    problem_id: str
    question: str
    answer: str
    hint: str
    decided_by: DecidedBy
    valid: bool | None = None
    note: str = ""
    consensus: Ruling | None = None
    """What the solver's majorities say; None where it was not asked."""
    solver: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """One text for one question is one hint, however often it was written."""
        return self.question, self.hint


@dataclass(frozen=True, slots=True)
class FalsePasses:
    """`invalid` of `labelled` hints should not have passed. `rate` is None where none is labelled; its interval is
    Wilson's, clustered by question."""

    sampled: int
    labelled: int
    invalid: int
    rate: Interval | None


def audit_file(paths: RunPaths) -> Path:
    return paths.root / "audit.jsonl"


def read_audit(file: Path) -> list[AuditedHint]:
    """The hints of an audit's file with their labels. A UserError names the line that cannot be read."""
    with explained("Reading", file):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=AuditedHint))
            except msgspec.MsgspecError as error:
                raise UserError(
                    f"{file}, line {number}, is no hint of an audit: {error}. Write true, false or null for `valid`, "
                    "and leave the rest of the line as it is."
                ) from error
    return found


def sample_hints(
    source: TraceSource,
    wanted: int = HINTS,
    *,
    late: float = LATE,
    seed: int = 0,
    before: Sequence[AuditedHint] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[AuditedHint]:
    """`before`, and hints drawn beside them until there are `wanted`, or no more: different ones that passed the gates
    in the last steps of a run. A UserError where the run has no hint of an Adversary. Cancelled: those found so far."""
    steps = [step for step, rows in source.step_counts().items() if rows]
    if not source.facets().stages.get(Stage.HINT):
        raise UserError("This run has no hints that an Adversary wrote, so there is nothing to audit.")
    judged = _has_judge(source.paths)
    first = max(steps) - max(1, round(late * len(steps))) + 1
    ids = list(source.ids(RolloutQuery(stages=(Stage.HINT,), gates=(PASSED,), steps=(first, max(steps)))))
    random.Random(seed).shuffle(ids)
    found = {hint.key: hint for hint in before}
    for start in range(0, len(ids), _BATCH):
        if len(found) >= wanted or cancelled():
            break
        for row in source.rows(ids[start : start + _BATCH]):
            if len(found) < wanted and (hint := _audited(row, source.paths.run_id, judged)).hint:
                found.setdefault(hint.key, hint)
        progress(min(len(found), wanted), wanted)
    return list(found.values())


def fill_audit(
    paths: RunPaths,
    file: Path,
    wanted: int = HINTS,
    *,
    late: float = LATE,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[AuditedHint]:
    """The hints of the audit in `file`, which is filled up to `wanted` from the run, see `sample_hints`. Cancelled:
    nothing is written."""
    before = read_audit(file) if file.is_file() else []
    if len(before) >= wanted:
        return before
    with closing(TraceSource(paths)) as source:
        hints = sample_hints(
            source, wanted, late=late, seed=seed, before=before, progress=progress, cancelled=cancelled
        )  # fmt: skip
    if len(hints) > len(before) and not cancelled():
        write_audit(file, hints)
    return hints


def _has_judge(paths: RunPaths) -> bool:
    try:
        return load_config(paths.config).judge.model != OFF
    except UserError:
        return False


def _audited(row: dict[str, Any], run_id: str, judged: bool) -> AuditedHint:
    text = str(row["hint"] or row["completion"]).strip()
    return AuditedHint(
        rollout=row["id"], step=row["step"], type=row["hint_type"] or "", family=row["family"],
        problem_id=row["problem_id"], question=row["question"], answer=row["gold"], hint=text,
        decided_by=_decided_by(text, row, run_id, judged),
    )  # fmt: skip


def _decided_by(text: str, row: dict[str, Any], run_id: str, judged: bool) -> DecidedBy:
    others = DecidedBy.JUDGE if judged else DecidedBy.RULES
    try:
        problem: Problem = as_problem(row_problem(row, run_id))
    except UserError:
        return others
    parsed = parse_hint(text, problem)
    return DecidedBy.FORM if parsed is not None and decides(parsed, problem) else others


def write_audit(file: Path, hints: Sequence[AuditedHint]) -> None:
    """Replace the file in one move."""
    with explained("Making the folder", file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, "".join(msgspec.json.encode(hint).decode() + "\n" for hint in hints))


def save_labels(file: Path, labels: Mapping[tuple[str, str], bool | None]) -> list[AuditedHint]:
    """Put `labels`, by `AuditedHint.key`, into the file and return what it has now. All else that somebody wrote into
    it since it was read is kept."""
    hints = [msgspec.structs.replace(h, valid=labels.get(h.key, h.valid)) for h in read_audit(file)]
    write_audit(file, hints)
    return hints


def false_passes(hints: Sequence[AuditedHint]) -> FalsePasses:
    """How many of the labelled hints should not have passed."""
    labelled = [hint for hint in hints if hint.valid is not None]
    wrong = [float(hint.valid is False) for hint in labelled]
    rate = wilson_clustered(wrong, [hint.question for hint in labelled]) if labelled else None
    return FalsePasses(len(hints), len(labelled), sum(map(int, wrong)), rate)


def describe_audit(found: FalsePasses) -> str:
    """One sentence: the false-pass rate with its interval, or that nothing is labelled yet."""
    sampled = f"{count_of(found.sampled, 'late valid hint')} sampled"
    if found.rate is None:
        return f"{sampled}, none labelled yet."
    return (
        f"{sampled}, {found.labelled} labelled: {found.invalid} should not have passed, a false-pass rate of "
        f"{percent_interval(found.rate)}."
    )


# ---------------------------------------------------------------------- consensus


@dataclass(frozen=True, slots=True)
class SolverOptions:
    """Who solves, and how: `samples` answers to each problem, with the hint and without."""

    model: str
    samples: int = 8
    temperature: float = 0.7
    max_tokens: int = 512
    prompts: str = AUTO


def ask_solver(
    hints: Sequence[AuditedHint], options: SolverOptions, *,
    on_hint: Callable[[list[AuditedHint]], object] = lambda _hints: None,
    on_progress: Callable[[float, int], object] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[AuditedHint]:  # fmt: skip
    """The hints with the consensus of this solver; those that have it are not asked about again. `on_hint` gets all as
    each is decided, so that an interrupted audit keeps what there is. Raises a UserError, `Cancelled`."""
    name = find_judge(options.model).name
    found = list(hints)
    places = [i for i, hint in enumerate(found) if hint.consensus is None or hint.solver != name]
    request = {
        "judge": {"model": options.model}, "solve": options.samples, "temperature": options.temperature,
        "max_tokens": options.max_tokens, "prompts": options.prompts,
        "hints": [
            {"question": h.question, "hint": h.hint, "gold": h.answer, "kind": guess_kind(h.answer)}
            for h in (found[i] for i in places)
        ],
    }  # fmt: skip
    if not places:
        on_progress(0.0, 0)
        return found
    for line, place in zip(read_rulings(request, on_progress, cancelled), places, strict=False):
        found[place] = msgspec.structs.replace(found[place], consensus=Ruling(line["ruling"]), solver=name)
        on_hint(found)
    return found


@dataclass(frozen=True, slots=True)
class ConsensusRate:
    """`changed` of `decided` hints had another answer under the hint; `rate` is None where none was decided."""

    solver: str
    asked: int
    decided: int
    changed: int
    rate: Interval | None


def consensus_rate(hints: Sequence[AuditedHint]) -> ConsensusRate | None:
    """What the solver's answers say about the gates; None where no solver was asked. Of several solvers the one that
    was asked about the last hint counts."""
    solver = next((h.solver for h in reversed(hints) if h.consensus is not None), "")
    asked = [(h.consensus, h.question) for h in hints if h.consensus is not None and h.solver == solver]
    if not asked:
        return None
    rate, decided = false_pass_rate(asked)
    changed = sum(ruling is Ruling.CHANGED for ruling, _ in asked)
    return ConsensusRate(solver, len(asked), decided, changed, rate if decided else None)


def describe_consensus(found: ConsensusRate | None) -> str:
    """One sentence: the rate with its interval; "" where no solver was asked."""
    if found is None:
        return ""
    about = f"{found.solver} was asked about {count_of(found.asked, 'hint')} and decides {found.decided}"
    if found.rate is None:
        return f"{about}: it solves too few of the problems."
    return (
        f"{about}: {found.changed} change its answer, a false-pass rate of at most {percent_interval(found.rate)}, as "
        "a solver that is misled counts too."
    )


DECIDERS = {
    GateTier.RULE: "rules", GateTier.STRUCTURE: "structure", GateTier.JUDGE: "the judge", NOBODY: "nothing",
}  # fmt: skip


def describe_deciders(state: RunState) -> str:
    """What decided on the new hints of a run, by the share of all: "structure 82%, the judge 11%, rules 7%". "" where
    it was not counted, as in runs of earlier versions."""
    steps = [metrics for _, metrics in state.history.entries() if any(f"{DECIDED_BY}{t}" in metrics for t in DECIDERS)]
    shares = {
        name: sum(float(m.get(f"{DECIDED_BY}{tier}") or 0.0) for m in steps) / max(1, len(steps))
        for tier, name in DECIDERS.items()
    }
    shown = sorted(shares.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {percent(share)}" for name, share in shown if share > 0)


def audit_of(root: Path) -> str:
    """What is said of a run's audit in the report and by `runs show`; "" where it has none."""
    file = audit_file(RunPaths(root))
    try:
        hints = read_audit(file) if file.is_file() else []
        sentences = (describe_audit(false_passes(hints)), describe_consensus(consensus_rate(hints)))
        return " ".join(filter(None, sentences)) if hints else ""
    except UserError as error:
        return f"not readable. {error}"
