"""The loop of an evaluating process: chunk after chunk, each computed and committed whole. No torch, no llama.cpp.

A process does the kinds of target that its engine runs, and hands over what is for the other one: torch, or llama.cpp
and endpoints. Stop is obeyed between chunks, and within one when the engine next asks, which drops that chunk; pause
between chunks. Threads, device and fingerprints of the first launch are kept in the store and used again: other threads
may round differently. A target that cannot be opened does not end the evaluation; the end says what is missing. A chunk
with a completion that could not be had is not committed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from training.core.answer_reader import READER_VERSION, Tier
from training.core.answers import AnswerGrader
from training.core.gates import check_hint
from training.core.hint_reader import clean_hint
from training.core.implied_answer import read_suggestion
from training.core.prompts import Message, Placement, PromptProfile, Sampling, adversary_messages, reasoner_messages
from training.core.symbolic import SymbolicCheck
from training.core.types import Condition, Hint, HintType, Outcome, Problem
from training.endpoints import Meter
from training.environment import LLAMA_CPP, TORCH, describe_machine, versions
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir, OpenSuite, is_same_model, is_written, open_suite, read_plan
from training.evaluation.grader import grade
from training.evaluation.plan import (
    USUAL_HINTS,
    Chunk,
    EvalKey,
    EvalPlan,
    SuiteRef,
    Target,
    TargetKind,
    Writing,
    chunk_seed,
    chunks,
    seed_of,
)
from training.evaluation.status import Pace, time_left
from training.evaluation.store import PromptText, StoredItem, StoredRow, StoreWriter, shown_text
from training.evaluation.suites.builder import build_suite, held_out_problems
from training.evaluation.suites.io import write_suite
from training.runs.control import ProcessControl, StopRequested, StopSignal, heartbeat, recorded_process
from training.runs.events import EventKind, EventLog

STAGE_EVENT_S = 1.0


class SampleProgress(Protocol):
    def __call__(self, done: int, total: int, tokens: int = 0, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """One completion; empty where its prompt was `too_long` for the model's context, or the server's filter withheld
    it (`filtered`)."""

    text: str
    truncated: bool
    tokens: int
    too_long: bool = False
    filtered: bool = False


@dataclass(frozen=True, slots=True)
class NotSampled:
    """A completion that could not be had, for a `reason`. `lasting`: nor will the next ones of this model."""

    reason: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """How an engine is to sample one chunk. `progress` takes completions (done, wanted), and the tokens of those and
    of unfinished ones where the engine knows; `cancelled` is asked often."""

    samples: int
    temperature: float
    max_tokens: int
    seed: int
    progress: SampleProgress
    cancelled: Callable[[], bool]
    sampling: Sampling = Sampling()
    """Of the prompt profile: what acts beside the temperature above."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """For the model's chat template."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A model at a server: what this evaluation has spent there, what the server calls the model that it ran last (""
    where it does not say), and what a reader of the figures should know."""

    meter: Meter
    served: str = ""
    notes: tuple[str, ...] = ()


class EvalEngine(Protocol):
    """What runs the models of a process. Whatever it raises as `StopRequested` drops the chunk; a UserError drops the
    target."""

    @property
    def special_texts(self) -> frozenset[str]:
        """Texts that the open model's tokenizer takes as marks of its own, which no hint may hold."""

    @property
    def remote(self) -> Remote | None:
        """What is known of the open model where it is at a server; None for one of this machine."""

    def identify(self, target: Target) -> str:
        """The fingerprint of a model; a UserError where it is not there."""

    def open(self, target: Target, plan: EvalPlan, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Load a model in place of the last one; returns what later launches must be given as `kept`."""

    def solve(self, chats: Sequence[list[Message]], spec: SampleSpec) -> list[list[Sampled | NotSampled]]:
        """`samples` completions for each chat, in their order, whatever was solved before."""

    def close(self) -> None:
        """Free the model."""


class _TargetFailed(Exception):
    """This target cannot be evaluated; the text is for the user."""


def _say_missing(missing: Counter[str]) -> str:
    """'3 requests failed (the server is busy). …'"""
    n = missing.total()
    (reason, of), *others = missing.most_common()
    more = f"; {n - of} for other reasons" if others else ""
    return f"{n:,} request{'s' if n != 1 else ''} failed ({reason.rstrip('.')}{more}). No row of theirs was stored."


@contextmanager
def _target_errors() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise _TargetFailed(str(error)) from error


class Session:
    def __init__(
        self,
        paths: EvalDir,
        kinds: Collection[TargetKind],
        engine: EvalEngine,
        log: EventLog,
        control: ProcessControl,
    ) -> None:
        self.paths, self.kinds, self.engine, self.log, self.control = paths, kinds, engine, log, control
        self.plan = read_plan(paths)
        self.store = StoreWriter(paths.rows, self.plan)
        self.suites: dict[str, OpenSuite] = {}
        done = self.store.done_chunks()
        whole = chunks(self.plan)
        self.todo = {t.name: [c for c in whole if c.target == t.name and c.key not in done] for t in self.plan.targets}
        self.chunks = len(whole)
        # What this process has solved, and what it could not, by target.
        self._paces: dict[str, Pace] = {}
        self._failed: set[str] = set()
        self._chunk_rows: dict[Chunk, int] = {}
        self._reported_at = 0.0
        self._rows = self.store.count_rows()
        self._checker = SymbolicCheck()
        self._grader = AnswerGrader(self._checker)

    def close(self) -> None:
        self.engine.close()
        self._checker.close()
        self.store.close()

    def run(self) -> str:
        """To the end: "finished", "handover" (the rest is for the other process), or "failed". Raises StopRequested."""
        torch = TargetKind.TORCH in self.kinds
        self.log.write(
            EventKind.LAUNCH, pid=os.getpid(), engine=TargetKind.TORCH if torch else TargetKind.GGUF,
            chunks=self.chunks, done_chunks=self.done, rows=self._rows, targets=[t.name for t in self.plan.targets],
            suites=[s.name for s in self.plan.suites], machine=describe_machine(),
            versions=versions(TORCH if torch else LLAMA_CPP),
        )  # fmt: skip
        self._open_suites()
        for target in self.plan.targets:
            if target.kind in self.kinds and any(c.suite in self.suites for c in self.todo[target.name]):
                self._run_target(target)
        if self.others_work():
            return "handover"
        return "failed" if any(self.todo.values()) else "finished"

    def others_work(self) -> tuple[str, ...]:
        """Models that the other process is needed for: to write a suite, or to solve one that is written."""
        failed = self.failures()
        writers = [s.writer for s in self.plan.suites if s.name not in self.suites]
        solvers = [t.name for t in self.plan.targets if any(c.suite in self.suites for c in self.todo[t.name])]
        named = dict.fromkeys(name for name in (*writers, *solvers) if name not in failed)
        return tuple(name for name in named if self.plan.model(name).kind not in self.kinds)

    @property
    def done(self) -> int:
        return self.chunks - sum(map(len, self.todo.values()))

    def failures(self) -> dict[str, str]:
        """Why which targets could not be evaluated, also by the other process."""
        return {t.name: text for t in self.plan.targets if (text := self.store.meta(f"failed/{t.name}"))}

    def _open_suites(self) -> None:
        """Open the suites that are there, and write those whose writer this process can run."""
        for ref in self.plan.suites:
            if ref.writer and not is_written(self.paths, ref):
                if self.plan.model(ref.writer).kind not in self.kinds:
                    continue
                self._obey()
                self.report_stage("writing", now=True, target=ref.writer, suite=ref.name)
                self._write_suite(ref)
            suite = open_suite(self.paths, ref)
            self.store.add_suite(ref.name, suite.digest, ref.placement, suite.items)
            self.suites[ref.name] = suite
        self._chunk_rows = {c: self._rows_of(c) for cs in self.todo.values() for c in cs}

    def _write_suite(self, ref: SuiteRef) -> None:
        """Let a suite's writer write its hints, all gated, into the evaluation's folder: whole or not at all. The same
        hints after a kill."""
        plan, how = self.plan, self.plan.writing
        assert how is not None
        target = plan.model(ref.writer)
        self.open_model(target)
        problems = held_out_problems(ref.problems, how.problem_seed)

        def progress(done: int, total: int, _tokens: int = 0) -> None:
            self.report_stage("writing", done=done, total=total, target=target.name)

        hints, passed = write_hints(
            self.engine, problems, target.prompts, how, seed_of(plan.seed, "hints"), author=f"run:{target.name}",
            progress=progress, cancelled=self.control.cancelled,
        )  # fmt: skip
        suite = build_suite(ref.name, problems, lambda p, type_: hints.get((p.id, type_)), how.problem_seed)
        folder = self.paths.root / ref.source
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        write_suite(partial, suite, placement=ref.placement)
        by_type = {type_: sum(key[1] is type_ for key in hints) for type_ in HintType}
        self.store.set_meta(f"writing/{ref.name}", json.dumps({"gate_pass_rate": passed, "by_type": by_type}))
        partial.rename(folder)

    def _run_target(self, target: Target) -> None:
        self._obey()
        self.report_stage("loading", now=True, target=target.name)
        failed = f"failed/{target.name}"
        try:
            with _target_errors():
                self.open_model(target)
            self.store.set_meta(failed, "")
            missing: Counter[str] = Counter()
            for chunk in tuple(self.todo[target.name]):
                if chunk.suite in self.suites:
                    self._obey()
                    missing += self._run_chunk(target, chunk, missing)
            if missing:
                raise _TargetFailed(_say_missing(missing))
        except _TargetFailed as error:
            self._failed.add(target.name)
            self.store.set_meta(failed, str(error))
            if self.engine.remote is not None:
                # What was spent up to the end: the last report may be older.
                self.report_stage("solving", now=True, target=target.name)
            message, remedy = f"{target.name} could not be evaluated. {error}", "Fix the cause, then resume."
            self.log.write(EventKind.WARNING, code="target_failed", message=message, remedy=remedy)

    def open_model(self, target: Target) -> None:
        """Load a model. A UserError unless it is there, and is the one of the plan and of the first launch."""
        now, key = self.engine.identify(target), f"fingerprint/{target.name}"
        known = target.fingerprint or self.store.meta(key)
        if known and not is_same_model(known, now):
            raise UserError(
                f"The model {target.path} is not the one that this evaluation began with: it was changed or trained "
                "since. Put the old one back, or start a new evaluation."
            )
        if self.store.meta(key) is None:
            self.store.set_meta(key, now)
        engine = f"engine/{target.kind}"
        kept = json.loads(self.store.meta(engine) or "{}")
        facts = self.engine.open(target, self.plan, kept)
        if not kept:
            self.store.set_meta(engine, json.dumps(dict(facts)))

    def _run_chunk(self, target: Target, chunk: Chunk, before: Counter[str]) -> Counter[str]:
        """Solve a chunk and commit it. Where completions are missing it is not committed, and they are counted by
        reason; where the next ones will be missing too, the target fails (`before`: those of earlier chunks)."""
        started, done, tokens = time.monotonic(), 0, 0
        total = self._chunk_rows[chunk]
        placement = self.plan.suite(chunk.suite).placement
        asked = prompts_of(self.suites[chunk.suite].items, chunk)
        place: dict[str, Any] = {"target": target.name, "suite": chunk.suite, "condition": chunk.condition}

        def report() -> None:
            if self._may_report():
                left = self._time_left(target, Pace(done, tokens, time.monotonic() - started))
                self.report_stage("solving", now=True, done=done, total=total, **left, **place)

        def progress(new_done: int, _: int, new_tokens: int = 0) -> None:
            nonlocal done, tokens
            done, tokens = new_done, new_tokens
            report()

        def cancelled() -> bool:
            # Engines ask often, also while no completion ends: the time left is said all the same.
            report()
            return self.control.cancelled()

        report()
        spec = SampleSpec(
            self.plan.samples, self.plan.temperature, self.plan.max_tokens, chunk_seed(self.plan, chunk),
            progress=progress, cancelled=cancelled, sampling=target.prompts.sampling, variables=target.prompts.template,
        )  # fmt: skip
        chats = [reasoner_messages(p.shown(placement), target.prompts) for p in asked]
        with _target_errors():
            solved = self.engine.solve(chats, spec) if chats else []
        missing = [found for completions in solved for found in completions if isinstance(found, NotSampled)]
        if missing:
            counted = Counter(found.reason for found in missing)
            if any(found.lasting for found in missing) or len(missing) == self._chunk_rows[chunk]:
                raise _TargetFailed(_say_missing(before + counted))
            return counted
        whole = [[found for found in completions if isinstance(found, Sampled)] for completions in solved]
        rows = grade_rows(chunk, asked, whole, self._grader)
        found = Pace(len(rows), sum(row.tokens for row in rows), time.monotonic() - started)
        self.store.commit(chunk, rows, found.seconds)
        self._note_remote(target)
        self.todo[target.name].remove(chunk)
        self._rows += len(rows)
        self._paces[target.name] = pace = self._pace(target) + found
        rate = pace.rows / pace.seconds if pace.seconds else 0.0
        self.report_stage("solved", now=True, rows_per_s=rate, pace=asdict(pace), **self._time_left(), **place)
        return Counter()

    def _note_remote(self, target: Target) -> None:
        """Keep what a reader should know of a model at a server, and say where it is another one now."""
        remote = self.engine.remote
        if remote is None:
            return
        notes, served = f"notes/{target.name}", f"served/{target.name}"
        known = json.loads(self.store.meta(notes) or "[]")
        if new := [note for note in remote.notes if note not in known]:
            self.store.set_meta(notes, json.dumps([*known, *new]))
        before = self.store.meta(served)
        if remote.served and remote.served != before:
            self.store.set_meta(served, remote.served)
            if before:
                message = f"{target.name}: the server runs {remote.served!r} now, and ran {before!r} before."
                remedy = "Start a new evaluation for figures of one model."
                self.log.write(EventKind.WARNING, code="served_model", message=message, remedy=remedy)

    def _pace(self, target: Target) -> Pace:
        return self._paces.get(target.name, Pace())

    def _time_left(self, current: Target | None = None, under_way: Pace | None = None) -> dict[str, Any]:
        """Seconds for what is left of the models that were measured, and how many were not. A checkpoint is as fast as
        the others of its run."""
        by_run = {t.run: self._paces[t.name] for t in self.plan.targets if t.run and t.name in self._paces}
        known: list[float] = []
        unmeasured = 0
        for target in self.plan.targets:
            rows = sum(self._chunk_rows[chunk] for chunk in self.todo[target.name])
            if not rows or target.name in self._failed:
                continue
            pace = self._paces.get(target.name) or by_run.get(target.run, Pace())
            if target is current and under_way is not None:
                seconds = time_left(rows - under_way.rows, self.plan.max_tokens, pace, under_way)
            else:
                seconds = time_left(rows, self.plan.max_tokens, pace)
            if seconds is None:
                unmeasured += 1
            else:
                known.append(seconds)
        return {"eta_s": sum(known) if known or not unmeasured else None, "unmeasured": unmeasured}

    def _rows_of(self, chunk: Chunk) -> int:
        if chunk.suite not in self.suites:
            usual = USUAL_HINTS if chunk.condition in (Condition.HINTED, Condition.PLACEBO) else 1
            return self.plan.samples * usual * (chunk.stop - chunk.start)
        items = self.suites[chunk.suite].items[chunk.start : chunk.stop]
        return self.plan.samples * sum(len(item.texts[chunk.condition]) for item in items)

    def _obey(self) -> None:
        self.control.obey(lambda: self.report_stage("paused", now=True))

    def report_stage(self, stage: str, *, now: bool = False, **data: Any) -> None:
        """A stage event, one a second at most unless `now`."""
        if not now and not self._may_report():
            return
        self._reported_at = time.monotonic()
        if (remote := self.engine.remote) is not None:
            data["meter"] = asdict(remote.meter)
        self.log.write(EventKind.STAGE, stage=stage, done_chunks=self.done, chunks=self.chunks, rows=self._rows, **data)

    def _may_report(self) -> bool:
        return time.monotonic() - self._reported_at >= STAGE_EVENT_S


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a chunk: an item, its place in the suite, and what is shown beside its question."""

    place: int
    item: StoredItem
    text: PromptText

    def shown(self, placement: Placement) -> str:
        return shown_text(self.item.problem, self.text, placement)


def prompts_of(items: Sequence[StoredItem], chunk: Chunk) -> list[Prompt]:
    return [
        Prompt(place, items[place], text)
        for place in range(chunk.start, min(chunk.stop, len(items)))
        for text in items[place].texts[chunk.condition]
    ]


def grade_rows(
    chunk: Chunk, prompts: Sequence[Prompt], solved: Sequence[Sequence[Sampled]], grader: AnswerGrader
) -> list[StoredRow]:
    rows = []
    for prompt, completions in zip(prompts, solved, strict=True):
        for sample, found in enumerate(completions):
            key = EvalKey(chunk.target, chunk.suite, chunk.condition, prompt.place, prompt.text.index, sample)
            if found.too_long or found.filtered:
                nothing = Outcome.TOO_LONG if found.too_long else Outcome.FILTERED
                rows.append(
                    StoredRow(key, nothing, "", None, False, found.tokens, found.text, Tier.NONE, READER_VERSION)
                )
                continue
            got = grade(found.text, prompt.item.problem, prompt.text.suggested, grader, found.truncated)
            rows.append(
                StoredRow(
                    key, got.outcome, got.answer, got.follows, found.truncated, found.tokens, found.text, got.tier,
                    READER_VERSION,
                )
            )  # fmt: skip
    return rows


def write_hints(
    engine: EvalEngine,
    problems: Sequence[Problem],
    prompts: PromptProfile,
    how: Writing,
    seed: int,
    *,
    author: str = "",
    progress: SampleProgress = lambda _done, _total, _tokens=0: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[dict[tuple[str, HintType], Hint], float]:
    """The first hint that passes the gates for each problem and type, and the share of all that passed. The engine's
    open model is the Adversary.

    A hint too like one that was taken for the same problem already is not taken; `author` becomes its `template`. A
    UserError where a reply could not be had.
    """
    keys = [(problem, type_) for problem in problems for type_ in HintType]
    spec = SampleSpec(
        how.attempts, how.temperature, how.max_tokens, seed, progress, cancelled, prompts.sampling, prompts.template
    )
    replies = engine.solve([adversary_messages(p.question, t, prompts) for p, t in keys], spec)
    missing = Counter(r.reason for of_key in replies for r in of_key if isinstance(r, NotSampled))
    if missing:
        raise UserError(f"The hints could not be written. {_say_missing(missing)} Fix the cause, then resume.")
    hints: dict[tuple[str, HintType], Hint] = {}
    passed = 0
    for (problem, type_), of_key in zip(keys, replies, strict=True):
        taken = [hint.text for (id_, _), hint in hints.items() if id_ == problem.id] if author else []
        for reply in of_key:
            assert isinstance(reply, Sampled)
            text = clean_hint(reply.text, truncated=reply.truncated, max_characters=prompts.max_hint_characters)
            if not check_hint(text, problem, special_texts=engine.special_texts).passed:
                continue
            passed += 1
            if not author or check_hint(text, problem, others=taken).passed:
                pushed = read_suggestion(text, problem)
                hints.setdefault((problem.id, type_), Hint(type_, text, template=author, suggested=pushed))
    return hints, passed / (len(keys) * how.attempts)


def run_part(
    root: Path,
    kinds: Collection[TargetKind],
    engine: EvalEngine,
    *,
    last: bool = True,
    commands_from: int | None = None,
    stop_signal: StopSignal | None = None,
) -> str:
    """Do the work of models of these kinds in the evaluation at `root`: "finished", "handover", "stopped" or "failed".

    `last` says that no other process follows by itself: what is left for one then ends as stopped.
    Commands before the byte `commands_from` are not for this process.
    A UserError, or a bug, becomes the `done` event, and is raised again for the log.
    """
    paths = EvalDir(root)
    read_plan(paths)
    with recorded_process(paths.events, paths.lock) as log:
        control = ProcessControl(paths.commands, log, commands_from, stop_signal)
        return _work(Session(paths, kinds, engine, log, control), last)


def _work(session: Session, last: bool) -> str:
    with closing(session):
        try:
            with heartbeat(session.log):
                outcome = session.run()
        except (StopRequested, KeyboardInterrupt):
            # The chunk under way is dropped.
            outcome = "stopped"
        outcome = "stopped" if outcome == "handover" and last else outcome
        _conclude(session, outcome)
        return outcome


def _conclude(session: Session, outcome: str) -> None:
    left = session.chunks - session.done
    if outcome == "handover":
        others = list(session.others_work())
        session.log.write(EventKind.STAGE, stage="handover", done_chunks=session.done, targets=others)
        return
    message = {
        "finished": f"All {session.chunks} chunks are done.",
        "stopped": f"Stopped with {left} of {session.chunks} chunks to do. Resume it any time.",
        "failed": " ".join(f"{name}: {text}" for name, text in session.failures().items()),
    }[outcome]
    error = "UserError" if outcome == "failed" else None
    session.log.write(EventKind.DONE, outcome=outcome, message=message, error=error)
