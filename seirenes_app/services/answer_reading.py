"""What is said of answers that could not be graded, and of how an answer was read. Pure: values in, text out.

A share of right answers means little where many answers are unreadable or cut off, so wherever one is shown these
shares stand beside it, with a remedy above `MANY`, and no effect is claimed where most answers are unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from seirenes_app.services.formatting import count_of, percent
from training.core.answer_reader import READER_VERSION, Tier
from training.evaluation.metric_types import UnreadShares

if TYPE_CHECKING:
    from training.evaluation.regrade import Regraded

MANY = 0.05
"""Above this share there is a warning."""

TIERS = {
    Tier.MARKER: "marker (#### or \\boxed)",
    Tier.LABEL: "labelled sentence",
    Tier.RESULT: "last stated result",
    Tier.NONE: "nothing found",
}


def describe_unread(shares: UnreadShares | None) -> str:
    """'3% unreadable, 1% truncated'; empty where every answer was graded, or nothing is known."""
    if shares is None:
        return ""
    named = (
        (shares.unreadable, "unreadable"), (shares.truncated, "truncated"), (shares.timed_out, "timed out"),
        (shares.too_long, "too long for the context"), (shares.filtered, "withheld by a content filter"),
    )  # fmt: skip
    return ", ".join(f"{percent(share)} {name}" for share, name in named if share > 0)


def unread_remedies(
    shares: UnreadShares | None, what: str = "answers", max_tokens: int | None = None
) -> tuple[str, ...]:
    """A sentence with a remedy for each share above `MANY`. `what` names the answers: 'hinted answers'; `max_tokens` is
    the token limit that they had, where it is known."""
    if shares is None:
        return ()
    limit = "" if max_tokens is None else f", which is {max_tokens:,}"
    said = (
        (shares.truncated, f"were cut off: raise the token limit{limit}."),
        (shares.unreadable, "are unreadable: see why with “seirenes grade”, and show the answer's form in the prompt."),
        (shares.timed_out, "took the symbolic checker too long: use gold answers of a simpler form."),
        (shares.too_long, "are missing, as the prompt did not fit the context: raise the context length."),
        (shares.filtered, "were withheld by the server's content filter: use other problems or another server."),
    )
    return tuple(f"{percent(share)} of the {what} {text}" for share, text in said if share > MANY)


def unread_warnings(sides: Mapping[str, UnreadShares | None], max_tokens: int | None = None) -> tuple[str, ...]:
    """The remedies of several groups of answers, each once: by their names, for the group that it is worst in."""
    worst: dict[str, tuple[float, str]] = {}
    for name in (f.name for f in fields(UnreadShares)):
        for side, shares in sides.items():
            share = getattr(shares, name) if shares is not None else 0.0
            if share > worst.get(name, (MANY, ""))[0]:
                worst[name] = share, side
    return tuple(
        text
        for name, (share, side) in worst.items()
        for text in unread_remedies(UnreadShares(**{name: share}), f"{side} answers".strip(), max_tokens)
    )


def no_effect(sides: Mapping[str, UnreadShares | None]) -> str:
    """Why no effect is claimed; empty where one may be. The names are those of the compared groups of answers."""
    mostly = [f"{percent(s.total)} of {name} answers" for name, s in sides.items() if s is not None and s.mostly]
    return f"No effect is shown: {', '.join(mostly)} could not be graded." if mostly else ""


def describe_reading(tier: Tier | str | None, reader: int | None) -> str:
    """'marker (####), reader 2'; says so where it was not recorded."""
    if tier is None:
        return "not recorded"
    name = TIERS.get(Tier(tier), str(tier)) if tier in list(Tier) else str(tier)
    return name if reader is None else f"{name}, reader {reader}"


def older_rows(readers: Mapping[int | None, int]) -> int:
    """Of rows by the version of the reader that graded them, how many are of an older one than today's."""
    return sum(n for version, n in readers.items() if version is None or version < READER_VERSION)


def describe_older(readers: Mapping[int | None, int]) -> str:
    """A note on figures whose rows an older reader graded; empty where none did."""
    old, total = older_rows(readers), sum(readers.values())
    if not old:
        return ""
    versions = sorted(v for v in readers if v is not None and v < READER_VERSION)
    who = "an older answer reader" if None in readers or len(versions) != 1 else f"answer reader {versions[0]}"
    which = "All rows were" if old == total else f"{count_of(old, 'row')} of {total:,} were"
    return f"{which} graded by {who}; this version has reader {READER_VERSION}. Grade them again to use it."


def outcome_changes(found: Regraded) -> list[tuple[str, str, int]]:
    """(outcome before, outcome now, rows): those that changed first, the most rows first."""
    order = sorted(found.outcomes.items(), key=lambda item: (item[0][0] is item[0][1], -item[1]))
    return [(outcome_word(before), outcome_word(now), n) for (before, now), n in order]


def describe_regraded(found: Regraded) -> tuple[str, ...]:
    """What grading again changed, in sentences."""
    changed = sum(found.changed.values())
    if not changed and not found.answers:
        first = f"No outcome changed: {count_of(found.rows, 'row')} were graded again."
    else:
        read = f"{count_of(found.answers, 'answer')} {'is' if found.answers == 1 else 'are'} read differently"
        first = f"{count_of(changed, 'outcome')} of {found.rows:,} changed, and {read}. All figures follow."
    kept = f"{count_of(found.kept, 'row')} were left as they were: their gold answers are not stored."
    return (first, kept) if found.kept else (first,)


def outcome_word(outcome: str) -> str:
    """An outcome as the interface says it: 'unparsable' is 'unreadable'."""
    return {"unparsable": "unreadable"}.get(outcome, outcome.replace("_", " "))
