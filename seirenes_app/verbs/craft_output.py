"""What `seirenes craft` and `seirenes solve` print, and how they wait for a job. Model text is never read as markup."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from seirenes_app.lab.crafting.commands import as_command
from seirenes_app.lab.crafting.documents import Candidate, Draft
from seirenes_app.lab.crafting.jobs import Job
from seirenes_app.lab.crafting.judging import Badges, failures
from seirenes_app.lab.crafting.results import Arm, SolveResult
from seirenes_app.lab.why.heat_text import visible
from seirenes_app.verbs.common import ERR, OUT
from training.core.prompts import TYPE_LABELS
from training.core.statistics import Interval
from training.errors import UserError

_ARM_NAMES = {Arm.CLEAN: "clean", Arm.HINTED: "hinted", Arm.PLACEBO: "placebo"}


class Waiting:
    """Waits for a job on the main thread, with a bar on stderr where that is a terminal. Ctrl+C cancels the job."""

    def __init__(self, doing: str, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                   TimeElapsedColumn())  # fmt: skip
        hidden = quiet or not ERR.is_terminal
        self._progress = Progress(*columns, console=ERR, transient=True, disable=hidden)
        self._task = self._progress.add_task(doing, total=1)
        self._inbox: queue.SimpleQueue[tuple[Any, str]] = queue.SimpleQueue()

    def __enter__(self) -> Waiting:
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def show(self, done: int, planned: int) -> None:
        """How far it is. From any thread, as the two below."""
        self._progress.update(self._task, completed=done, total=max(1, planned))

    def done(self, value: Any) -> None:
        """The job's `on_done`."""
        self._inbox.put((value, ""))

    def failed(self, words: str) -> None:
        """The job's `on_failed`."""
        self._inbox.put((None, words))

    def result(self, job: Job) -> Any:
        """What the job gave; a cancelled one gives what there was. Raises its failure as a `UserError`.

        The first Ctrl+C cancels, a second one leaves at once.
        """
        while True:
            try:
                value, words = self._inbox.get()
            except KeyboardInterrupt:
                if job.cancelled:
                    raise
                job.cancel()
                continue
            if words:
                raise UserError(words)
            return value


def say(text: str = "") -> None:
    """Lines on stdout; control and hidden characters are made visible."""
    OUT.print(visible(text, "\n"), highlight=False, markup=False, soft_wrap=True)


def gate_words(badges: Badges) -> str:
    """ "valid", or which gates refuse and why."""
    refused = failures(badges)
    return "; ".join(f"{badge.gate}: {badge.reason}" for badge in refused) if refused else "valid"


def say_solved(draft: Draft, candidate: Candidate | None, badges: Badges, result: SolveResult, show: int) -> None:
    """One result: figures, comparison, and `show` solutions of each arm."""
    if candidate is not None:
        say(f"Hint ({TYPE_LABELS[candidate.type]}, {draft.placement}): {candidate.text}")
        say(f"Gates: {gate_words(badges)}")
    table = _table("", "right", "accuracy", "95% interval")
    for arm, found in result.arms.items():
        table.add_row(
            _ARM_NAMES[arm], f"{found.right}/{len(found.samples)}", f"{found.accuracy:.2f}",
            f"{found.low:.2f} to {found.high:.2f}",
        )  # fmt: skip
    OUT.print(table)
    _say_comparison(result, candidate)
    for arm, found in result.arms.items():
        for sample in found.samples[: max(0, show)]:
            follows = ", follows the hint" if sample.follows else ""
            say(f"\n{_ARM_NAMES[arm]} {sample.index}: {sample.outcome}, answer {sample.answer or 'none'}{follows}")
            say(sample.text)


def _say_comparison(result: SolveResult, candidate: Candidate | None) -> None:
    if result.drop is not None:
        say(f"Drop under the hint, clean − hinted: {difference(result.drop)}")
    if result.placebo_drop is not None:
        say(f"Drop under the placebo, clean − placebo: {difference(result.placebo_drop)}")
    if result.follow_rate is not None and candidate is not None:
        follows = [s.follows for s in result.arms[Arm.HINTED].samples]
        say(f"Follow rate: {result.follow_rate:.2f} ({sum(map(bool, follows))} of {len(follows)} answer "
            f"{candidate.suggested}, as the hint suggests)")  # fmt: skip
    _say_never_right(result)
    if result.cancelled:
        say("Interrupted: these are the figures until then.")


def difference(interval: Interval) -> str:
    """A difference with its 95% interval."""
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def say_candidates(
    draft: Draft, order: Sequence[str], judged: Mapping[str, Badges], results: Mapping[str, SolveResult]
) -> None:
    """The candidates in order, and the command that tries the first of them."""
    found = [c for id_ in order if (c := draft.candidate(id_)) is not None]
    if not found:
        say("No hint: none of this type fits the problem and passes the gates.")
        return
    for number, candidate in enumerate(found, 1):
        say(f"{number:>3}  {visible(candidate.text)}")
        figures = _figures(results[candidate.id]) if candidate.id in results else []
        say("     " + " · ".join([gate_words(judged[candidate.id]), *figures]))
    if order[0] in results:
        _say_never_right(results[order[0]])
    say(f"Try the first again: {as_command(draft, found[0])}")


def _say_never_right(result: SolveResult) -> None:
    clean = result.arms.get(Arm.CLEAN)
    if clean is not None and clean.samples and not clean.right:
        say("This solver never solves the clean question, so no hint can be seen to harm it. Try another problem.")


def _figures(result: SolveResult) -> list[str]:
    found = [f"{_ARM_NAMES[arm]} {a.right}/{len(a.samples)}" for arm, a in result.arms.items()]
    if result.drop is not None:
        found.append(f"drop {difference(result.drop)}")
    if result.follow_rate is not None:
        found.append(f"follows {result.follow_rate:.2f}")
    return found


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    return table
