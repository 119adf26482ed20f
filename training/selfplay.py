"""The Seirênes loop: two roles, of one model or two, one step. Start reading here.

    R1  the Reasoner solves each question               G1 solutions
        (and a share of them once more with the question moved before the story's last sentence)
    R2  the Adversary writes hints for each question     G2 hints, of one type
    R3  the Reasoner solves each question + hint         G3 solutions a hint
    reward   the Reasoner is paid for the right answer, the Adversary for the drop from R1 to R3
    update   one policy-gradient step on both roles

How it departs from the textbook (arXiv 2605.11636 gives the three stages and the drop; the rest is ours):
  - A hint that fails a gate is never shown to the Reasoner and earns a fixed penalty, however well it might work.
  - Types are dealt by quota, one type a question, so that no type can take over.
  - A share of R3 replays archived hints, weighted (1 − success)², so that old defences are not forgotten; or, with
    `curriculum.replay_by`, those that are solved half the time, as the others have no gradient.
  - Questions that are mastered, clean and hinted, are drawn less often and come back when they fail.
  - The baselines are the same loop with a stage left out: no hints (clean_rl), an Adversary that does not learn
    (static), templates in its place (random). `clean_rl` spends the rollouts it saves on more questions.
  - With `reasoner.needed_share`, text after a question is sometimes needed; with `reasoner.placement`, a hint may stand
    elsewhere: against learning to ignore whatever follows the question. Neither counts in p_clean.
  - Clean solutions are held to the starting model by a KL of their own (the clean anchor, which `clean_rl` has no need
    of): without it the Reasoner learns to ignore the last sentence, also where that sentence is the problem's.

With `adversary.opponents` past Adversaries of the run write the hints of a share of the questions. Those hints are paid
as others are, for the figures, and train the Reasoner alone: they are not of the present policy.

With `rollout.hinted_first` the solutions of a hint end where the first ones are all right or all wrong: such a group
has no gradient for the Reasoner, and p_hint is estimated without the bias of stopping (`sequential_share`).

With `adversary.model` each role has a backend of its own; texts pass between them, never tokens. A Reasoner that is not
trained does not change: its R1 of a question is sampled once and p_clean kept, so that the rollouts go into R2 and R3.

R1 and R2 do not depend on each other: where one model plays both roles they are sampled in one batch, each with its own
length and random numbers. What is drawn is what two batches would draw.

The loop knows the backend by four verbs only (`training.engine.base.Backend`) and does no I/O: what it sees goes out
through a `StepCallbacks`, and what it returns is a `StepResult`.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import msgspec

from training.core.advantages import (
    GroupBuffer,
    RoleBaseline,
    adversary_reward,
    assign_advantages,
    reasoner_reward,
    sequential_share,
    should_run_hinted,
)
from training.core.answer_reader import Tier
from training.core.answers import AnswerGrader
from training.core.archive import ArchivedHint, Entry, HintArchive, PastAdversaries, pfsp_weight, uncertain_weight
from training.core.curriculum import MasteryPool, type_quota
from training.core.gates import GateResult, check_hint
from training.core.hint_language import write_hint
from training.core.hint_reader import clean_hint
from training.core.implied_answer import read_suggestion
from training.core.prompts import Message, Placement, adversary_messages, join_hint, reasoner_messages
from training.core.question_parser import move_question, safe_placements
from training.core.types import Hint, HintType, Outcome, Problem, Role, Split, Stage
from training.core.validity import Judge
from training.engine.base import Backend, Completion, LossParams, SamplingParams, TrainRow, UpdateStats
from training.runs.config import (
    HintPlacement,
    Mode,
    ReplayBy,
    RunConfig,
    Truncated,
    is_anchored,
    profile_of,
    trained_roles,
)
from training.runs.timing import StageTimer, TimePart

SNAPSHOT_EVERY = 20
"""Steps between the Adversaries that are kept as opponents, where `checkpoint.every` is 0."""


REPLAY_WEIGHTS = {ReplayBy.HARD: pfsp_weight, ReplayBy.UNCERTAIN: uncertain_weight}


class StepCallbacks(Protocol):
    """What the loop tells the outside. Either call may raise to stop the step: nothing of it is then kept."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Progress inside a stage, counted in completions."""

    def cancelled(self) -> bool:
        """Asked every few tokens; True ends the generation under way."""


class OpponentWeights(Protocol):
    """Where the weights of past Adversaries are."""

    def keep(self, step: int) -> None:
        """The present weights become those of `step`."""

    def there(self, steps: Collection[int]) -> Sequence[int]:
        """Those of `steps` whose weights are there."""

    def playing(self, step: int) -> AbstractContextManager[None]:
        """Inside the block the Adversary's backend samples with the weights of `step`."""


@dataclass(slots=True)
class Rollout:
    """One completion and what became of it."""

    prompt: tuple[int, ...]
    completion: Completion
    text: str
    outcome: Outcome | None = None
    answer: str = ""
    """What was read; empty where no answer could be read."""
    tier: Tier | None = None
    """Where the answer was found; None for a hint."""
    reward: float = 0.0
    advantage: float = 0.0
    trained: bool = False


@dataclass(slots=True)
class PlayedHint:
    """One hint: its text, the gates' result, and the Reasoner's solutions under it."""

    problem: Problem
    hint: Hint
    id: str
    gate: GateResult
    written: Rollout | None = None
    """The Adversary's rollout; None for a template or an archived hint."""
    archived: str | None = None
    """The archive's id, for a replayed hint."""
    solutions: list[Rollout] = field(default_factory=list)
    placement: Placement = Placement.APPEND
    """Where it stands in R3. A replayed hint draws its place like a new one."""
    first: int = 0
    """How many solutions decided whether there are more; 0: none did."""
    opponent: int | None = None
    """The step of the past Adversary that wrote it; None for the present one's."""

    @property
    def shown(self) -> str:
        """The question with the hint in it."""
        return join_hint(self.problem.question, self.hint.text, self.placement)

    @property
    def accuracy(self) -> float:
        """p_hint: the share of right solutions under the hint."""
        if not self.first:
            return _accuracy(self.solutions)
        return sequential_share(_count_right(self.solutions), len(self.solutions), self.first)


@dataclass(slots=True)
class Round:
    """One question's part in a step."""

    problem: Problem
    type: HintType
    clean: list[Rollout] = field(default_factory=list)
    hints: list[PlayedHint] = field(default_factory=list)
    known: float | None = None
    """p_clean as it was measured earlier, of a Reasoner that is not trained; R1 is then not sampled."""
    draw: int = 0
    """How often the step has drawn the question before: a pool can be smaller than a step."""
    moved: str | None = None
    """The question before the story's last sentence, where it is asked so too."""
    needed: list[Rollout] = field(default_factory=list)
    """Solutions of the moved question: a group of its own, and no part of p_clean."""

    @property
    def key(self) -> str:
        """Different for each round of a step."""
        return f"{self.problem.id}~{self.draw + 1}" if self.draw else self.problem.id

    @property
    def accuracy(self) -> float:
        """p_clean: the share of right clean solutions."""
        return _accuracy(self.clean) if self.known is None else self.known


@dataclass(slots=True)
class StepResult:
    """Everything a step produced, for metrics and the rollout database."""

    step: int
    rounds: list[Round]
    replayed: list[PlayedHint]
    zero_variance: dict[Role, int]
    groups: dict[Role, int]
    updates: dict[Role, UpdateStats]
    grad_norm: float
    seconds: dict[str, float]
    anchored: list[tuple[Problem, Rollout]] = field(default_factory=list)
    """One solution of each further question of the clean anchor."""

    @property
    def hints(self) -> list[PlayedHint]:
        return [t for r in self.rounds for t in r.hints] + self.replayed


def _count_right(rollouts: Sequence[Rollout]) -> int:
    return sum(r.outcome is Outcome.RIGHT for r in rollouts)


def _tokens(groups: Sequence[Sequence[Rollout]]) -> int:
    """Sampled tokens."""
    return sum(len(rollout.completion.tokens) for group in groups for rollout in group)


def _accuracy(rollouts: Sequence[Rollout]) -> float:
    return _count_right(rollouts) / len(rollouts) if rollouts else 0.0


@dataclass
class SelfPlay:
    """The loop's state between steps; `step()` plays one. Random draws depend on (seed, step) alone."""

    config: RunConfig
    backend: Backend
    """The Reasoner's, and the Adversary's where that has none of its own."""
    pool: MasteryPool
    problems: dict[str, Problem]
    archive: HintArchive
    grader: AnswerGrader
    callbacks: StepCallbacks
    types: tuple[HintType, ...] = tuple(HintType)
    timer: StageTimer = field(default_factory=StageTimer)
    """What the time goes into; the backend may count its part in the same one."""
    judge: Judge | None = None
    """Asked about hints for which neither a rule nor their structure vouches; None lets them pass."""
    step_number: int = 0
    baselines: dict[Role, RoleBaseline] = field(default_factory=dict)
    adversary: Backend | None = None
    """The Adversary's own."""
    opponents: OpponentWeights | None = None
    """None: no past Adversary is kept or met."""
    past: PastAdversaries = field(default_factory=PastAdversaries)
    anchor_problems: Sequence[Problem] = ()
    """Further questions of the clean anchor, which are never hinted; none where there is no anchor."""
    known_clean: dict[str, float] = field(default_factory=dict)
    """p_clean by problem, of a Reasoner that is not trained."""
    updating: bool = False
    """Whether a step is changing the weights and the loop's memory, so that they belong to no step."""

    def __post_init__(self) -> None:
        c = self.config
        self.profile = profile_of(c)
        self.learning = trained_roles(c)
        self.baselines = self.baselines or {role: RoleBaseline(c.advantage.ema_decay) for role in Role}
        self.buffers = self._empty_buffers()

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on beside the weights, as JSON values."""
        return {
            "step": self.step_number,
            "pool": self.pool.state_dict(),
            "archive": self.archive.state_dict(),
            "baselines": {role: b.value for role, b in self.baselines.items()},
            "buffers": {role: msgspec.to_builtins(buffer.groups) for role, buffer in self.buffers.items()},
            "known_clean": self.known_clean,
            "past_adversaries": self.past.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave. States without buffers are of versions that did not keep them."""
        self.step_number = state["step"]
        self.pool = MasteryPool.from_state(state["pool"])
        self.archive = HintArchive.from_state(state["archive"])
        self.known_clean = dict(state.get("known_clean", {}))
        if self.opponents is not None:
            past = state.get("past_adversaries", {})
            self.past.restore(past, self.opponents.there([int(step) for step in past]))
        decay = self.config.advantage.ema_decay
        self.baselines = {Role(k): RoleBaseline(decay, v) for k, v in state["baselines"].items()}
        self.buffers = self._empty_buffers()
        for role, groups in state.get("buffers", {}).items():
            for group in msgspec.convert(groups, list[list[TrainRow]]):
                self.buffers[Role(role)].push(group)

    def backend_of(self, role: Role) -> Backend:
        """Whose weights play a role."""
        return self.adversary if role is Role.ADVERSARY and self.adversary is not None else self.backend

    def _empty_buffers(self) -> dict[Role, GroupBuffer[TrainRow]]:
        return {role: GroupBuffer(self.config.update.buffer_rows) for role in Role}

    # ------------------------------------------------------------------ one step, top to bottom

    def step(self) -> StepResult:
        """Play R1, R2, R3, reward, update; then remember what happened."""
        step = self.step_number + 1
        rng = random.Random(f"{self.config.data.seed}:{step}")
        clock = _Clock(self.timer.now)
        self._keep_opponent()

        rounds = self._draw_rounds(rng)
        self._play_clean_and_hints(rounds, rng, clock)
        self._ask_judge(rounds)
        clock.lap("r2")
        anchored = self._play_anchor(rng)
        clock.lap("r1")

        replayed = self._draw_replays(rounds, rng)
        fresh = [t for r in rounds if should_run_hinted(r.accuracy) for t in r.hints if t.gate.passed]
        self._play_hinted(fresh + replayed, rng)
        clock.lap("r3")

        result = StepResult(step, rounds, replayed, {}, {}, {}, 0.0, {}, anchored)
        self._pay(result)
        self._update(result, rng)
        clock.lap("update")

        self._remember(result)
        self.step_number, self.updating = step, False
        result.seconds = clock.laps
        return result

    # ------------------------------------------------------------------ R1, R2, R3

    def _draw_rounds(self, rng: random.Random) -> list[Round]:
        r = self.config.rollout
        count = r.questions
        if self.config.mode is Mode.CLEAN_RL:
            # The rollouts that hints would have cost, spent on clean questions.
            asked = r.clean * (1 + self.config.reasoner.needed_share)
            count = round(r.questions * (asked + r.hints * (1 + r.hinted)) / asked)
        drawn = self.pool.draw(rng, count)
        quota = self.config.adversary.quota
        types = type_quota(rng, len(drawn), self.types) if quota else rng.choices(self.types, k=len(drawn))
        seen: Counter[str] = Counter()
        rounds = []
        for id_, type_ in zip(drawn, types, strict=True):
            rounds.append(Round(self.problems[id_], type_, draw=seen[id_]))
            seen[id_] += 1
        self._move_questions(rounds, rng)
        return rounds

    def _move_questions(self, rounds: list[Round], rng: random.Random) -> None:
        """Draw the rounds whose question is asked moved too; those that cannot be moved are never drawn."""
        count = round(len(rounds) * self.config.reasoner.needed_share)
        if not count or Role.REASONER not in self.learning:
            return
        movable = [(r, moved) for r in rounds if (moved := move_question(r.problem.question)) is not None]
        for r, moved in rng.sample(movable, min(count, len(movable))):
            r.moved = moved

    def _play_clean_and_hints(self, rounds: list[Round], rng: random.Random, clock: "_Clock") -> None:
        """R1 and R2. They do not depend on each other: where one model plays both roles they are one batch."""
        for r in rounds:
            r.known = self.known_clean.get(r.problem.id)
        clean = self._request_clean(rounds, rng)
        if self.config.mode in (Mode.CLEAN_RL, Mode.RANDOM):
            (solutions,) = self._sample([clean])
            self._take_clean(rounds, solutions)
            clock.lap("r1")
            if self.config.mode is Mode.RANDOM:
                self._write_templates(rounds, rng)
            return
        # Where hints are known to be of no use none are written.
        asked = [r for r in rounds if r.known is None or should_run_hinted(r.known)]
        opponent, theirs = self._meet_opponent(asked, rng)
        ours = [r for r in asked if r.key not in theirs]
        hints = self._request_hints(ours, rng)
        if self.adversary is None:
            began = self.timer.now()
            solutions, written = self._sample([clean, hints])
            sampling_s = self.timer.now() - began
            self._take_clean(rounds, solutions)
            clock.lap("r1")
            clock.move("r1", "r2", sampling_s * _tokens(written) / max(1, _tokens(solutions) + _tokens(written)))
        else:
            (solutions,) = self._sample([clean])
            self._take_clean(rounds, solutions)
            clock.lap("r1")
            (written,) = self._sample([hints])
        seen: list[str] = []
        self._take_hints(ours, written, seen)
        if opponent is not None and self.opponents is not None:
            met = [r for r in asked if r.key in theirs]
            request = self._request_hints(met, rng)
            with self.opponents.playing(opponent):
                (written,) = self._sample([request], before=hints.count)
            self._take_hints(met, written, seen, opponent)

    def _play_anchor(self, rng: random.Random) -> list[tuple[Problem, Rollout]]:
        """Solutions of further questions, for the clean anchor alone."""
        if not self.anchor_problems:
            return []
        asked = rng.choices(self.anchor_problems, k=self.config.reasoner.anchor_questions)
        chats = [reasoner_messages(problem.question, self.profile) for problem in asked]
        (sampled,) = self._sample([self._request(Stage.CLEAN, chats, 1, rng)])
        for problem, rollouts in zip(asked, sampled, strict=True):
            self._grade(rollouts, problem)
        return [(problem, rollout) for problem, (rollout,) in zip(asked, sampled, strict=True)]

    def _request_clean(self, rounds: Sequence[Round], rng: random.Random) -> "_Request":
        """R1, and the moved questions after it: what `_take_clean` takes apart."""
        questions = [r.problem.question for r in rounds if r.known is None] + [r.moved for r in rounds if r.moved]
        chats = [reasoner_messages(text, self.profile) for text in questions]
        return self._request(Stage.CLEAN, chats, self.config.rollout.clean, rng)

    def _take_clean(self, rounds: Sequence[Round], solutions: Sequence[list[Rollout]]) -> None:
        rest = iter(solutions)
        for r in rounds:
            if r.known is None:
                r.clean = next(rest)
                self._grade(r.clean, r.problem)
        for r in rounds:
            if r.moved:
                r.needed = next(rest)
                self._grade(r.needed, r.problem)

    def _write_templates(self, rounds: list[Round], rng: random.Random) -> None:
        for r in rounds:
            hints = [write_hint(r.problem, r.type, rng, Split.TRAIN) for _ in range(self.config.rollout.hints)]
            with self.timer.lap(TimePart.GATES):
                r.hints = [self._check(r.problem, hint, f"{r.key}#{k}", []) for k, hint in enumerate(hints)]

    def _request_hints(self, rounds: list[Round], rng: random.Random) -> "_Request":
        longest = self.config.gates.max_characters
        chats = [adversary_messages(r.problem.question, r.type, self.profile, longest) for r in rounds]
        return self._request(Stage.HINT, chats, self.config.rollout.hints, rng)

    def _take_hints(
        self, rounds: Sequence[Round], written: Sequence[list[Rollout]], seen: list[str], opponent: int | None = None
    ) -> None:
        """Clean and check hints; `seen` are those of the step, in their order."""
        longest, by = self.config.gates.max_characters, "" if opponent is None else f"past{opponent}-"
        for r, rollouts in zip(rounds, written, strict=True):
            for k, rollout in enumerate(rollouts):
                with self.timer.lap(TimePart.GATES):
                    text = clean_hint(rollout.text, truncated=rollout.completion.truncated, max_characters=longest)
                    hint = Hint(r.type, text, suggested=read_suggestion(text, r.problem))
                    played = self._check(r.problem, hint, f"{r.key}#{by}{k}", seen)
                played.written, played.opponent = rollout, opponent
                seen.append(played.hint.text)
                r.hints.append(played)

    def _keep_opponent(self) -> None:
        """Keep the Adversary as it is before this step, every so many steps."""
        every, step = self.config.checkpoint.every or SNAPSHOT_EVERY, self.step_number
        if self.opponents is not None and step % every == 0 and step not in self.past.steps:
            self.opponents.keep(step)
            self.past.add(step)

    def _meet_opponent(self, rounds: Sequence[Round], rng: random.Random) -> tuple[int | None, Set[str]]:
        """The past Adversary of this step, and the keys of the rounds for which it writes. One a step, as its weights
        take the place of the present ones meanwhile."""
        count = round(len(rounds) * self.config.adversary.opponents)
        # Before the second snapshot the only one there is differs little from the present.
        if self.opponents is None or not count or len(self.past.steps) < 2:
            return None, frozenset()
        return self.past.draw(rng), {r.key for r in rng.sample(rounds, count)}

    def _check(self, problem: Problem, hint: Hint, id_: str, others: Sequence[str]) -> PlayedHint:
        special = self.backend.codec.special_texts() | self.backend_of(Role.ADVERSARY).codec.special_texts()
        result = check_hint(hint.text, problem, self.config.gates, others=others, special_texts=special)
        return PlayedHint(problem, hint, id_, result)

    def _ask_judge(self, rounds: list[Round]) -> None:
        if self.judge is None:
            return
        asked = [t for r in rounds for t in r.hints if t.gate.passed and t.gate.tier is None]
        with self.timer.lap(TimePart.GATES):
            decisions = self.judge.decide(
                [(t.problem, t.hint.text) for t in asked],
                lambda done, total: self.callbacks.stage("judge", done, total), self.callbacks.cancelled,
            )  # fmt: skip
        for played, decision in zip(asked, decisions, strict=True):
            played.gate = decision.gate_result

    def _draw_replays(self, rounds: list[Round], rng: random.Random) -> list[PlayedHint]:
        # Replays keep old defences; a Reasoner that is not trained forgets none.
        share = self.config.curriculum.replay_share if Role.REASONER in self.learning else 0.0
        fresh = sum(len(r.hints) for r in rounds)
        count = round(fresh * share / (1 - share)) if share < 1 else fresh
        weight = REPLAY_WEIGHTS[self.config.curriculum.replay_by]
        entries = self.archive.draw(rng, count, weight) if count else []
        return [self._replay(e) for e in entries]

    def _replay(self, entry: Entry) -> PlayedHint:
        problem, text = self.problems[entry.hint.problem_id], entry.hint.text
        hint = Hint(entry.hint.type, text, suggested=read_suggestion(text, problem))
        return PlayedHint(problem, hint, f"archive:{entry.id}", GateResult(None, ""), archived=entry.id)

    def _play_hinted(self, played_hints: list[PlayedHint], rng: random.Random) -> None:
        if self.config.reasoner.placement is HintPlacement.VARIED:
            for played in played_hints:
                played.placement = rng.choice(safe_placements(played.problem.question))
        whole, first = self.config.rollout.hinted, self.config.rollout.hinted_first
        if not 0 < first < whole:
            self._solve_hinted(played_hints, whole, rng)
            return
        self._solve_hinted(played_hints, first, rng)
        for played in played_hints:
            played.first = first
        undecided = [t for t in played_hints if 0 < _count_right(t.solutions) < first]
        self._solve_hinted(undecided, whole - first, rng, before=first * len(played_hints))

    def _solve_hinted(self, played_hints: list[PlayedHint], n: int, rng: random.Random, before: int = 0) -> None:
        chats = [reasoner_messages(t.shown, self.profile) for t in played_hints]
        (sampled,) = self._sample([self._request(Stage.HINTED, chats, n, rng)], before)
        for played, rollouts in zip(played_hints, sampled, strict=True):
            played.solutions += rollouts
            self._grade(rollouts, played.problem)

    def _grade(self, rollouts: list[Rollout], problem: Problem) -> None:
        with self.timer.lap(TimePart.GRADING):
            for rollout in rollouts:
                graded = self.grader.grade(rollout.text, problem, truncated=rollout.completion.truncated)
                rollout.outcome, rollout.answer, rollout.tier = graded.outcome, graded.answer, graded.tier

    def _request(self, stage: Stage, chats: list[list[Message]], n: int, rng: random.Random) -> "_Request":
        """`n` completions of each chat, with random numbers of their own."""
        r = self.config.rollout
        longest = r.max_hint_tokens if stage is Stage.HINT else r.max_solution_tokens
        # Without chats no number is drawn from `rng`.
        seed = rng.getrandbits(48) if chats else 0
        return _Request(stage, chats, n, SamplingParams(longest, r.temperature, seed))

    def _sample(self, requests: Sequence["_Request"], before: int = 0) -> list[list[list[Rollout]]]:
        """The completions of each chat of each request, which one model samples in one batch.

        `before` is how many the first request's stage has had already. Progress counts the first request's completions
        before those of the next.
        """
        backend = self.backend_of(Role.ADVERSARY if requests[0].stage is Stage.HINT else Role.REASONER)
        codec = backend.codec

        def report(done: int) -> None:
            for request in requests:
                had = before if request is requests[0] else 0
                part = min(done, request.count)
                done -= part
                self.callbacks.stage(request.stage, had + part, had + request.count)
                if not done:
                    return

        report(0)
        with self.timer.lap(TimePart.SAMPLING):
            prompts = [codec.encode_chat(chat, self.profile.template) for r in requests for chat in r.chats]
            sampled = backend.sample(
                prompts,
                [r.n for r in requests for _ in r.chats],
                [r.params for r in requests for _ in r.chats],
                progress=lambda done, _: report(done),
                cancelled=self.callbacks.cancelled,
            )
            rollouts = iter(
                [Rollout(prompt, c, codec.completion_text(prompt, c.tokens)) for c in completions]
                for prompt, completions in zip(prompts, sampled, strict=True)
            )
            return [list(islice(rollouts, len(r.chats))) for r in requests]

    # ------------------------------------------------------------------ reward

    def _pay(self, result: StepResult) -> None:
        a = self.config.adversary
        for solutions in (
            [s for r in result.rounds for s in (r.clean, r.needed)]
            + [t.solutions for t in result.hints]
            + [[x] for _, x in result.anchored]
        ):
            for rollout in solutions:
                assert rollout.outcome is not None
                rollout.reward = reasoner_reward(rollout.outcome, rollout.completion.truncated)
        for r in result.rounds:
            for t in r.hints:
                if t.written is None:
                    continue
                if not t.gate.passed:
                    t.written.reward = a.gate_penalty
                elif t.solutions:
                    t.written.reward = adversary_reward(a.reward, r.accuracy, t.accuracy, a.margin)

    # ------------------------------------------------------------------ update

    def _groups(self, result: StepResult) -> dict[Role, list[list[Rollout]]]:
        """Rollouts of one prompt as it was drawn, by role. Neither roles nor two draws of a prompt are pooled."""
        reasoner = [s for r in result.rounds for s in (r.clean, r.needed)] + [t.solutions for t in result.hints]
        if self.config.reasoner.truncated is Truncated.MASK:
            reasoner = [[x for x in group if not x.completion.truncated] for group in reasoner]
        adversary = [[t.written for t in r.hints if t.written and t.opponent is None] for r in result.rounds]
        groups = {Role.REASONER: reasoner, Role.ADVERSARY: adversary}
        return {role: [g for g in found if g] if role in self.learning else [] for role, found in groups.items()}

    def _update(self, result: StepResult, rng: random.Random) -> None:
        a, u = self.config.advantage, self.config.update
        # The last place to stop: from here on the step changes the loop's memory and the weights.
        self.callbacks.stage("update", 0, u.epochs)
        self.updating = True
        for role, groups in self._groups(result).items():
            advantages, zero, self.baselines[role] = assign_advantages(
                [[x.reward for x in rollouts] for rollouts in groups],
                baseline=a.baseline, scale=a.scale, fallback=a.fallback, ema=self.baselines[role],
            )  # fmt: skip
            result.groups[role], result.zero_variance[role] = len(groups), zero
            for rollouts, values in zip(groups, advantages, strict=True):
                for rollout, advantage in zip(rollouts, values, strict=True):
                    rollout.advantage, rollout.trained = advantage, advantage != 0.0
                rows = [self._row(role, x) for x in rollouts if x.trained]
                if rows:
                    self.buffers[role].push(rows)
        batches = {role: self.buffers[role].take(u.max_rows) for role in Role}
        if not u.reuse:
            self.buffers = self._empty_buffers()
        for epoch in range(u.epochs):
            for role, rows in batches.items():
                if rows:
                    # Left-over groups and later epochs are off-policy: their ratio is the real one.
                    on_policy = epoch == 0 and u.max_rows == 0
                    with self.timer.lap(TimePart.GRADIENT):
                        stats = self.backend_of(role).forward_backward(rows, self._loss(role, on_policy))
                        result.updates[role] = stats
            with self.timer.lap(TimePart.GRADIENT):
                further = [self._anchor(result, rng), self._imitate(result.rounds)]
            changed = [role for role in Role if batches[role] or (any(further) and role is Role.REASONER)]
            if changed:
                with self.timer.lap(TimePart.OPTIMISER):
                    result.grad_norm = self._take_step(changed, result)
            self.callbacks.stage("update", epoch + 1, u.epochs)

    def _take_step(self, roles: Sequence[Role], result: StepResult) -> float:
        """One optimiser step of the models of these roles; the norm of their gradients together."""
        models = {id(backend): backend for backend in map(self.backend_of, roles)}
        stepped = [backend.optim_step() for backend in models.values()]
        # An engine of one model that sends an update whole has its figures only now.
        called = [role for role in Role if role in result.updates]
        result.updates |= dict(zip(called, stepped[0].updates, strict=False))
        return math.hypot(*(stats.grad_norm for stats in stepped))

    def _anchor(self, result: StepResult, rng: random.Random) -> bool:
        """Add the pull of clean solutions, of moved questions too, towards the starting model. They carry no advantage
        here, only the KL: what the Reasoner learns under hints must not be paid for with what it could do without
        them."""
        if not is_anchored(self.config):
            return False
        groups = [group for r in result.rounds for group in (r.clean, r.needed) if group]
        if (share := self.config.reasoner.anchor_share) < 1.0:
            # The loss is a mean over the rows, or over their tokens: it stays as large as it is over all of them.
            groups = rng.sample(groups, math.ceil(share * len(groups)))
        anchored = [x for group in groups for x in group] + [x for _, x in result.anchored]
        rows = [replace(self._row(Role.REASONER, x), advantage=0.0) for x in anchored]
        loss = replace(self._loss(Role.REASONER, True), kl=self.config.reasoner.clean_anchor)
        return self.backend.forward_backward(rows, loss).rows > 0

    def _imitate(self, rounds: Sequence[Round]) -> bool:
        """Add the likelihood of a right clean solution under each hint that none of the solutions withstood, as GASP
        (arXiv 2602.00173) imitates repairs where they are rare. The hint leaves the answer as it is, so that the
        solution is right there too. A mean over the tokens, or rows, of these solutions alone."""
        weight = self.config.reasoner.imitation
        if weight == 0.0 or Role.REASONER not in self.learning:
            return False
        rows = []
        for r in rounds:
            shown = next((x for x in r.clean if x.outcome is Outcome.RIGHT and not x.completion.truncated), None)
            for t in r.hints:
                if shown is not None and t.solutions and not _count_right(t.solutions):
                    row = self._row(Role.REASONER, replace(shown, prompt=t.solutions[0].prompt))
                    rows.append(replace(row, advantage=weight))
        return bool(rows) and self.backend.forward_backward(rows, self._loss(Role.REASONER, True)).rows > 0

    def _row(self, role: Role, rollout: Rollout) -> TrainRow:
        c = self.config
        weight = c.adversary.loss_weight if role is Role.ADVERSARY else c.reasoner.loss_weight
        return TrainRow(
            rollout.prompt, rollout.completion.tokens, rollout.completion.logprobs, rollout.advantage, weight,
            c.update.clip_low, c.update.clip_high,
        )  # fmt: skip

    def _loss(self, role: Role, on_policy: bool) -> LossParams:
        c = self.config
        adversary = role is Role.ADVERSARY
        return LossParams(
            aggregation=c.update.aggregation,
            kl=c.adversary.kl if adversary else c.update.kl,
            temperature=c.rollout.temperature,
            max_tokens=c.rollout.max_hint_tokens if adversary else c.rollout.max_solution_tokens,
            on_policy=on_policy,
        )

    # ------------------------------------------------------------------ memory

    def _remember(self, result: StepResult) -> None:
        """Archive valid hints, re-weigh replayed ones, move questions in and out of the mastered set; keep the p_clean
        of a Reasoner that stays as it is."""
        if Role.REASONER not in self.learning:
            solved: dict[str, list[Rollout]] = {}
            for r in result.rounds:
                solved.setdefault(r.problem.id, []).extend(r.clean)
            self.known_clean |= {id_: _accuracy(clean) for id_, clean in solved.items() if clean}
        for played in result.replayed:
            assert played.archived is not None
            self.archive.report(played.archived, played.accuracy, result.step)
        met = [t for r in result.rounds for t in r.hints if t.opponent is not None and t.solutions]
        if met and met[0].opponent is not None:
            self.past.report(met[0].opponent, sum(t.accuracy for t in met) / len(met))
        mastered: dict[str, tuple[bool, bool]] = {}
        for r in result.rounds:
            with_solutions = [t for t in r.hints if t.solutions]
            for t in with_solutions:
                archived = ArchivedHint(t.problem.id, t.hint.type, t.hint.text, result.step, t.problem.family)
                self.archive.add(archived, success=t.accuracy, drop=r.accuracy - t.accuracy)
            hinted_right = bool(with_solutions) and all(t.accuracy == 1.0 for t in with_solutions)
            if self.config.mode is Mode.CLEAN_RL:
                hinted_right = True
            clean, hinted = mastered.get(r.problem.id, (True, True))
            right = r.accuracy == 1.0 and all(x.outcome is Outcome.RIGHT for x in r.needed)
            mastered[r.problem.id] = (clean and right, hinted and hinted_right)
        self.archive.trim()
        for id_, both in mastered.items():
            self.pool.report(id_, *both)


@dataclass(frozen=True)
class _Request:
    """Chats of one stage, and how they are to be completed."""

    stage: Stage
    chats: list[list[Message]]
    n: int
    """Completions of each."""
    params: SamplingParams

    @property
    def count(self) -> int:
        return len(self.chats) * self.n


class _Clock:
    def __init__(self, now: Callable[[], float]) -> None:
        self.laps: dict[str, float] = {}
        self._now, self._last = now, now()

    def lap(self, name: str) -> None:
        now = self._now()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now

    def move(self, source: str, target: str, seconds: float) -> None:
        """Count `seconds` of the lap `source` as of the lap `target`."""
        self.laps[source] -= seconds
        self.laps[target] = self.laps.get(target, 0.0) + seconds
