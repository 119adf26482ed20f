"""Try a model out: ten small problems, what it writes, and how that is read. No Qt.

A GGUF is asked through the llama.cpp worker, a Hugging Face folder through a `python -m training complete` process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seirenes_app.inference.client import Pending, Samples, WorkerClient
from seirenes_app.inference.model_client import Cancelled
from seirenes_app.inference.protocol import Chunk, Event, Finish, Loading, Message, SampleRequest
from seirenes_app.services.formatting import count_of, percent
from seirenes_app.services.models.facts import ModelFormat, kind_of, profile_of, require_usable, template_of
from training.core.answer_reader import Tier
from training.core.answers import AnswerGrader
from training.core.prompts import Message as Turn
from training.core.prompts import PromptProfile, reasoner_messages
from training.core.types import UNREADABLE, AnswerKind, Outcome, Problem
from training.errors import UserError
from training.runs.processes import child_environment, kill_tree

_OTHER_KIND = "The answer is none of the kind that the problem asks for ({kind})."
POLL_S = 0.1


def _problem(number: int, question: str, answer: str, kind: AnswerKind = AnswerKind.NUMBER, names: str = "") -> Problem:
    return Problem(f"check-{number}", "check", question, answer, kind, f"#### {answer}", tuple(names.split()))


PROBLEMS = (
    _problem(1, "Nora has 14 stickers and gives 5 of them to Sam. How many stickers does Nora have left?", "9"),
    _problem(2, "A shelf has 6 rows with 8 books in each row. How many books are on the shelf?", "48"),
    _problem(3, "Three pens cost 2 dollars each and a ruler 4 dollars. How many dollars is that in all?", "10"),
    _problem(4, "Leo reads 12 pages on Monday and twice as many on Tuesday. How many pages does he read in all?", "36"),
    _problem(5, "A ribbon of 7.5 metres is cut into 3 equal pieces. How many metres long is each piece?", "2.5"),
    _problem(6, "A pizza has 8 equal slices and Ida eats 3 of them. Which fraction of the pizza is left?", "5/8"),
    _problem(7, "A film starts at 6:40 and lasts 95 minutes. At what time does it end?", "8:15", AnswerKind.CLOCK),
    _problem(8, "Today is Wednesday. Which day of the week is it in 9 days?", "Friday", AnswerKind.CHOICE),
    _problem(
        9, "Ada is taller than Ben, and Ben is taller than Cleo. Who is the shortest?", "Cleo", AnswerKind.CHOICE,
        "Ada Ben Cleo",
    ),
    _problem(10, "A coat costs 80 euros and is now 25% cheaper. What is its price in euros now?", "60"),
)  # fmt: skip
"""Ten problems of several kinds, easy for people; a small model solves few of them."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One problem: what the model wrote, how that was read, and what came of it. `reason` is for a person."""

    number: int
    problem: Problem
    output: str
    outcome: Outcome
    answer: str
    tier: Tier
    reason: str
    tokens: int
    seconds: float
    truncated: bool

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """What goes on: loading (`share` 0 to 1), or problem `number` under way with its `text` so far."""

    doing: str
    share: float
    number: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The rows there are, fewer than planned where it was cancelled. Shares are of these rows."""

    rows: tuple[CheckRow, ...]
    planned: int
    prompts: str
    template_note: str
    max_tokens: int

    @property
    def complete(self) -> bool:
        return len(self.rows) == self.planned

    @property
    def right(self) -> int:
        return sum(row.outcome is Outcome.RIGHT for row in self.rows)

    @property
    def unreadable_share(self) -> float:
        return self._share(lambda row: row.outcome in UNREADABLE)

    @property
    def truncated_share(self) -> float:
        return self._share(lambda row: row.truncated or row.outcome is Outcome.TRUNCATED)

    @property
    def tokens_per_s(self) -> float:
        seconds = sum(row.seconds for row in self.rows)
        return sum(row.tokens for row in self.rows) / seconds if seconds > 0 else 0.0

    def _share(self, holds: Callable[[CheckRow], bool]) -> float:
        return sum(map(holds, self.rows)) / len(self.rows) if self.rows else 0.0

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to do about unreadable and truncated answers, a sentence each; none where all is well."""
        found = []
        unreadable = [row for row in self.rows if row.outcome in UNREADABLE]
        if unreadable:
            reason = Counter(row.reason for row in unreadable).most_common(1)[0][0]
            found.append(
                f"{percent(self.unreadable_share)} of the answers could not be read. Most often: {reason} Choose a "
                "prompt that shows the answer's form by an example, or a model that follows instructions."
            )
        if self.truncated_share:
            found.append(
                f"{percent(self.truncated_share)} of the answers were cut off at {self.max_tokens} tokens. Allow more "
                "tokens; for a reasoning model, switch its thinking off."
            )
        if self.template_note:
            found.append(self.template_note)
        return tuple(found)

    @property
    def sentence(self) -> str:
        """The result in one line."""
        if not self.rows:
            return "No problem was answered."
        so_far = "" if self.complete else f" of {self.planned} planned"
        return (
            f"{self.right} of {count_of(len(self.rows), 'problem')}{so_far} right, "
            f"{percent(self.unreadable_share)} unreadable, {percent(self.truncated_share)} cut off, "
            f"{self.tokens_per_s:.0f} tokens/s. Ten problems show that a model works, not how good it is."
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    tokens: int
    seconds: float
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Ask:
    """What a model is asked, greedily unless its profile says otherwise."""

    path: Path
    chats: Sequence[list[Turn]]
    profile: PromptProfile
    limit: int

    @property
    def temperature(self) -> float:
        return self.profile.sampling.temperature or 0.0


def check_model(
    path: Path,
    on_row: Callable[[CheckRow], object] = lambda _row: None,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Callable[[CheckProgress], object] = lambda _progress: None,
    *,
    problems: Sequence[Problem] = PROBLEMS,
    max_tokens: int = 0,
) -> CheckResult:
    """Let the model at `path` solve the problems; `on_row` gets each row when done. Blocks: off the window's thread.

    `max_tokens` 0 is the usual limit. A cancelled check returns what there is. A UserError for a model that cannot be
    used or does not load.
    """
    files = require_usable(path)
    profile, template = profile_of(files), template_of(files)
    limit = max_tokens or profile.limits_for(kind_of(files, template)).solution
    limit = min(limit, max(16, files.n_ctx // 2)) if files.n_ctx else limit
    ask = _Ask(path, [reasoner_messages(problem.question, profile) for problem in problems], profile, limit)
    answers = _answers_of_gguf if files.format is ModelFormat.GGUF else _answers_of_folder
    rows: list[CheckRow] = []
    try:
        for problem, answer in zip(problems, answers(ask, cancelled, on_progress), strict=True):
            rows.append(_row(len(rows) + 1, problem, answer))
            on_row(rows[-1])
    except Cancelled:
        pass
    return CheckResult(tuple(rows), len(problems), profile.label, template.note.text, limit)


def _row(number: int, problem: Problem, answer: _Answer) -> CheckRow:
    graded = AnswerGrader().grade(answer.text, problem, truncated=answer.truncated)
    return CheckRow(
        number, problem, answer.text, graded.outcome, graded.answer, graded.tier,
        graded.reason or ("" if graded.answer else _OTHER_KIND.format(kind=problem.kind)), answer.tokens,
        answer.seconds, answer.truncated,
    )  # fmt: skip


# ---------------------------------------------------------------------- GGUF


def _answers_of_gguf(
    ask: _Ask, cancelled: Callable[[], bool], on_progress: Callable[[CheckProgress], object]
) -> Iterator[_Answer]:
    """One after the other, as Craft asks: so the speed is that of a single answer."""
    with WorkerClient() as client:

        def loading(event: Event) -> None:
            if isinstance(event, Loading):
                on_progress(CheckProgress("Loading the model", event.progress))

        wait_for(client.load(ask.path, loading), cancelled)
        for place, chat in enumerate(ask.chats):
            texts: list[str] = []

            def streaming(event: Event, place: int = place, texts: list[str] = texts) -> None:
                if isinstance(event, Chunk):
                    texts.append(event.text)
                    on_progress(CheckProgress("Solving", place / len(ask.chats), place + 1, "".join(texts)))

            on_progress(CheckProgress("Solving", place / len(ask.chats), place + 1))
            messages = tuple(Message(turn["role"], turn["content"]) for turn in chat)
            request = SampleRequest(
                messages=messages, max_tokens=ask.limit, temperature=ask.temperature,
                stop=ask.profile.sampling.stop, template_variables=ask.profile.template,
            )  # fmt: skip
            found = wait_for(client.send(request, streaming), cancelled)
            assert isinstance(found, Samples)
            (sample,) = found.samples
            yield _Answer(sample.text, sample.tokens, found.done.seconds, sample.finish is Finish.LENGTH)


def wait_for(pending: Pending, cancelled: Callable[[], bool]) -> Any:
    """The answer of a request; one that is cancelled raises `Cancelled`."""
    while True:
        if cancelled():
            pending.cancel()
            raise Cancelled
        try:
            return pending.result(POLL_S)
        except TimeoutError:
            continue


# ---------------------------------------------------------------------- Hugging Face folder


def _answers_of_folder(
    ask: _Ask, cancelled: Callable[[], bool], on_progress: Callable[[CheckProgress], object]
) -> Iterator[_Answer]:
    """In batches of a few; the seconds of a batch are shared out among its answers."""
    request = {
        "model": str(ask.path), "chats": ask.chats, "max_tokens": ask.limit, "temperature": ask.temperature,
        "template_variables": ask.profile.template,
    }  # fmt: skip
    on_progress(CheckProgress("Loading the model", 0.0))
    for line in complete_prompts(request, cancelled):
        if "done" in line:
            on_progress(CheckProgress("Solving", line["done"] / line["total"], int(line["done"]) + 1))
        else:
            yield _Answer(line["text"], line["tokens"], line["seconds"], line["truncated"])


def complete_prompts(request: Mapping[str, Any], cancelled: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """The lines of a `python -m training complete` process. Raises a UserError with its error, `Cancelled`."""
    return ask_process("complete", request, cancelled)


def ask_process(verb: str, request: Mapping[str, Any], cancelled: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """The lines of a `python -m training` process that reads one JSON request and writes JSON lines.

    Raises a UserError with its error, `Cancelled`. The process ends with the iteration.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as asked, tempfile.TemporaryFile() as errors:
        json.dump(request, asked)
        asked.seek(0)
        with _child(verb, asked, errors, cancelled) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if cancelled():
                    break
                yield json.loads(line)
            else:
                if child.wait() != 0 and not cancelled():
                    errors.seek(0)
                    raise UserError(_failure(errors.read().decode("utf-8", "replace"), child.returncode))
        if cancelled():
            raise Cancelled


@contextmanager
def _child(verb: str, asked: Any, errors: Any, cancelled: Callable[[], bool]) -> Iterator[subprocess.Popen[str]]:
    """The process, which ends when the block ends or `cancelled` becomes true, whatever it is doing."""
    child = subprocess.Popen(
        [sys.executable, "-m", "training", verb], stdin=asked, stdout=subprocess.PIPE, stderr=errors,
        text=True, encoding="utf-8", errors="replace", env=child_environment(),
    )  # fmt: skip
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            if cancelled():
                kill_tree(child.pid)
                return

    watcher = threading.Thread(target=watch, name="model-check", daemon=True)
    watcher.start()
    try:
        yield child
    finally:
        ended.set()
        watcher.join()
        if child.poll() is None:
            kill_tree(child.pid)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _failure(log: str, code: int) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    error = next((line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), "")
    return error or f"The process that ran the model ended with code {code}. {lines[-1] if lines else ''}".strip()
