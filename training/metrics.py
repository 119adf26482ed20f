"""Turn a step's result into figures and database rows. No I/O.

The names are the contract with everything that draws or reads a run.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from training.core.answer_reader import READER_VERSION
from training.core.gates import DECIDED_BY, NOBODY
from training.core.statistics import wilson_clustered
from training.core.types import UNREADABLE, Outcome, Problem, Role, Stage
from training.evaluation.grader import follows_hint
from training.rollouts.database import RolloutRow
from training.rollouts.reader import flip_of
from training.runs.config import Mode, RunConfig, further_questions
from training.selfplay import PlayedHint, Rollout, SelfPlay, StepResult


def rollouts_per_step(config: RunConfig) -> int:
    """How many completions a step samples at most, replays included."""
    r = config.rollout
    asked = r.clean * (1 + config.reasoner.needed_share)
    if config.mode is Mode.CLEAN_RL:
        questions = round(r.questions * (asked + r.hints * (1 + r.hinted)) / asked)
        return (questions + round(questions * config.reasoner.needed_share)) * r.clean
    share = config.curriculum.replay_share
    hints = r.questions * r.hints
    replays = round(hints * share / (1 - share)) if share < 1 else hints
    written = 0 if config.mode is Mode.RANDOM else hints
    moved = round(r.questions * config.reasoner.needed_share)
    clean = (r.questions + moved) * r.clean + further_questions(config)
    return clean + written + (hints + replays) * r.hinted


def count_rollouts(result: StepResult) -> int:
    """How many completions a step sampled."""
    written = sum(t.written is not None for t in result.hints)
    return (
        sum(len(r.clean) + len(r.needed) for r in result.rounds)
        + written
        + sum(len(t.solutions) for t in result.hints)
        + len(result.anchored)
    )


def step_metrics(result: StepResult, loop: SelfPlay, learning_rate: float) -> dict[str, float | None]:
    """Every figure of a step by its name; None where a step has nothing to measure."""
    clean = [x for r in result.rounds for x in (*r.clean, *r.needed)]
    hinted = [x for t in result.hints for x in t.solutions]
    figures: dict[str, float | None] = {}
    figures |= _accuracy("clean", [(r.problem.id, x) for r in result.rounds for x in r.clean])
    if loop.config.reasoner.needed_share:
        figures |= _accuracy("needed", [(r.problem.id, x) for r in result.rounds for x in r.needed])
    if result.anchored:
        figures |= _accuracy("anchor", [(problem.id, x) for problem, x in result.anchored])
    figures |= _accuracy("hinted", [(t.problem.id, x) for t in result.hints for x in t.solutions])
    figures |= _adversary(result)
    if met := [t for r in result.rounds for t in r.hints if t.opponent is not None]:
        figures["opponent/step"] = float(met[0].opponent or 0)
        figures["opponent/accuracy"] = _mean(float(x.outcome is Outcome.RIGHT) for t in met for x in t.solutions)
    figures |= _texts(clean, hinted, result)
    figures |= _learning(result)
    tokens = sum(len(x.completion.tokens) for x in [*clean, *hinted, *_written(result)])
    sampling = sum(result.seconds.get(k, 0.0) for k in ("r1", "r2", "r3"))
    figures["tokens_per_s"] = tokens / sampling if sampling else None
    figures |= {f"seconds/{name}": seconds for name, seconds in result.seconds.items()}
    figures |= {
        "archive/size": float(len(loop.archive)),
        "archive/coverage": loop.archive.coverage(),
        "archive/evenness": loop.archive.evenness(),
        "mastered": float(loop.pool.mastered_count),
        "learning_rate": learning_rate,
    }
    return figures


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def _written(result: StepResult) -> list[Rollout]:
    """What the present Adversary wrote."""
    return [t.written for t in result.hints if t.written is not None and t.opponent is None]


def _accuracy(name: str, rollouts: Sequence[tuple[str, Rollout]]) -> dict[str, float | None]:
    """Accuracy with its interval; the rollouts come with their problems, of which each has several."""
    if not rollouts:
        return {f"{name}_accuracy": None, f"{name}_low": None, f"{name}_high": None}
    right = [float(x.outcome is Outcome.RIGHT) for _, x in rollouts]
    interval = wilson_clustered(right, [problem for problem, _ in rollouts])
    return {f"{name}_accuracy": interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _adversary(result: StepResult) -> dict[str, float | None]:
    fresh = [t for r in result.rounds for t in r.hints if t.opponent is None]
    figures: dict[str, float | None] = {
        "adversary_reward": _mean(x.reward for x in _written(result)),
        "gate_pass_rate": _mean(float(t.gate.passed) for t in fresh),
        "hint_unique_share": len({t.hint.text for t in fresh}) / len(fresh) if fresh else None,
    }
    by_type: dict[str, list[PlayedHint]] = defaultdict(list)
    for played in result.hints:
        by_type[played.hint.type].append(played)
    for type_, played_hints in by_type.items():
        solutions = [x.outcome is Outcome.RIGHT for t in played_hints for x in t.solutions]
        figures[f"hinted/{type_}"] = _mean(map(float, solutions))
        figures[f"adversary_reward/{type_}"] = _mean(
            t.written.reward for t in played_hints if t.written and t.opponent is None
        )
    for tier, count in Counter(t.gate.tier for t in fresh).items():
        figures[f"{DECIDED_BY}{tier or NOBODY}"] = count / len(fresh)
    for gate, count in Counter(t.gate.gate for t in fresh if t.gate.gate is not None).items():
        figures[f"gate_fail/{gate}"] = count / len(fresh)
    follows = [follows_hint(x.answer, t.problem, t.hint.suggested) for t in result.hints for x in t.solutions]
    figures["follow_rate"] = _mean(float(f) for f in follows if f is not None)
    return figures


def _texts(clean: Sequence[Rollout], hinted: Sequence[Rollout], result: StepResult) -> dict[str, float | None]:
    solutions, written = [*clean, *hinted], _written(result)
    return {
        "unparsable_rate": _mean(float(x.outcome in UNREADABLE) for x in solutions),
        "truncated_rate": _mean(float(x.completion.truncated) for x in solutions),
        "entropy/reasoner": _mean(x.completion.entropy for x in solutions),
        "entropy/adversary": _mean(x.completion.entropy for x in written),
        "length/solution_tokens": _mean(len(x.completion.tokens) for x in solutions),
        "length/hint_tokens": _mean(len(x.completion.tokens) for x in written),
    }


def _learning(result: StepResult) -> dict[str, float | None]:
    figures = _update_figures(result)
    # What an engine on a server does not know.
    return {name: None if value is not None and math.isnan(value) else value for name, value in figures.items()}


def _update_figures(result: StepResult) -> dict[str, float | None]:
    figures: dict[str, float | None] = {"grad_norm": result.grad_norm}
    for role in Role:
        figures[f"groups/{role}"] = float(result.groups.get(role, 0))
        figures[f"zero_variance/{role}"] = float(result.zero_variance.get(role, 0))
        if (stats := result.updates.get(role)) is not None:
            figures[f"loss/{role}"] = stats.loss
    stats_all = list(result.updates.values())
    figures["rows_trained"] = float(sum(s.rows for s in stats_all))
    tokens = sum(s.tokens for s in stats_all)
    if tokens:
        figures["kl"] = sum(s.kl * s.tokens for s in stats_all) / tokens
        figures["clip_fraction"] = sum(s.clip_fraction * s.tokens for s in stats_all) / tokens
        figures["logprob_gap/mean"] = sum(s.logprob_gap_mean * s.tokens for s in stats_all) / tokens
        figures["logprob_gap/max"] = max(s.logprob_gap_max for s in stats_all)
    return figures


def rollout_rows(result: StepResult, config: RunConfig) -> list[RolloutRow]:
    """Every completion of a step as a row of the rollout database."""
    # A pool smaller than a step's questions draws some twice: the accuracy is that of all their clean solutions.
    groups: dict[str, list[float]] = defaultdict(list)
    for r in result.rounds:
        groups[r.problem.id] += [float(x.outcome is Outcome.RIGHT) for x in r.clean]
    clean = {id_: sum(right) / len(right) for id_, right in groups.items() if right}
    clean |= {r.problem.id: r.known for r in result.rounds if r.known is not None}
    rows = []
    for r in result.rounds:
        rows += [_row(result.step, x, Stage.CLEAN, r.key, r.problem, None, clean) for x in r.clean]
        for x in r.needed:
            row = _row(result.step, x, Stage.NEEDED, r.key, r.problem, None, clean)
            rows.append(replace(row, prompt=str(r.moved)))
        rows += [_row(result.step, t.written, Stage.HINT, r.key, r.problem, t, clean) for t in r.hints if t.written]
    rows += [_row(result.step, x, Stage.CLEAN, f"{p.id}~anchor", p, None, clean) for p, x in result.anchored]
    for t in result.hints:
        rows += [_row(result.step, x, Stage.HINTED, t.problem.id, t.problem, t, clean) for x in t.solutions]
    return rows


def _row(
    step: int, x: Rollout, stage: Stage, key: str, problem: Problem, played: PlayedHint | None,
    clean: Mapping[str, float],
) -> RolloutRow:  # fmt: skip
    hinted = played if stage is Stage.HINTED else None
    accuracy = clean.get(problem.id)
    return RolloutRow(
        step=step,
        stage=stage,
        role=Role.ADVERSARY if stage is Stage.HINT else Role.REASONER,
        group_key=f"{key}|{hinted.id if hinted else stage}",
        problem_id=problem.id,
        family=problem.family,
        question=problem.question,
        gold=problem.answer,
        hint_id=played.id if played else None,
        hint_type=played.hint.type if played else None,
        hint=played.hint.text if played else None,
        prompt=hinted.shown if hinted else problem.question,
        completion=x.text,
        outcome=x.outcome,
        reward=x.reward,
        advantage=x.advantage,
        tokens=len(x.completion.tokens),
        truncated=x.completion.truncated,
        gate=played.gate.gate if played else None,
        gate_reason=played.gate.reason or None if played else None,
        follows_hint=follows_hint(x.answer, problem, hinted.hint.suggested) if hinted else None,
        logprob_mean=_mean(x.completion.logprobs) or 0.0,
        seed=0,
        trained=x.trained,
        archived=bool(played and played.archived),
        clean_accuracy=accuracy,
        flip=flip_of(x.outcome is Outcome.RIGHT, accuracy) if hinted else None,
        tier=x.tier,
        reader=READER_VERSION if x.outcome is not None else None,
        placement=hinted.placement if hinted else None,
    )
