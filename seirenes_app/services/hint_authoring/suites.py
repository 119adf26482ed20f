"""Save a hint to a suite, and the suites there are. The files are `training.evaluation.suites.io`'s."""

from __future__ import annotations

from pathlib import Path

from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, Origin
from seirenes_app.services.hint_authoring.gate_report import check_draft, failures
from seirenes_app.services.hint_authoring.models import placebo_of
from seirenes_app.services.hint_authoring.problems import as_problem
from training.core.types import Hint, Split
from training.errors import UserError
from training.evaluation.suites.builder import Suite, SuiteItem
from training.evaluation.suites.io import MANIFEST, SavedSuite, append_item, read_manifest, write_suite
from training.evaluation.suites.repository import suite_name
from training.resources import data_folder


def suites_folder() -> Path:
    return data_folder() / "suites"


def save_to_suite(
    draft: Draft, hint: DraftHint, name: str, *, allow_invalid: bool = False, folder: Path | None = None
) -> SavedSuite:
    """Add a hint with its problem and placebo to a suite, which is made if need be. Raises a `UserError` for a bad
    name, another placement, and a hint that fails a gate unless `allow_invalid`, which records it as invalid."""
    place = (folder or suites_folder()) / suite_name(name)
    item = suite_item(draft, hint)
    refused = failures(check_draft(draft).get(hint.id, ()))
    if refused and not allow_invalid:
        raise UserError(
            f"This hint does not pass the gate “{refused[0].name}”: {refused[0].reason} Correct it, or save it "
            "marked as invalid."
        )
    if not (place / MANIFEST).exists():
        write_suite(place, Suite(suite_name(name), ()), placement=draft.placement)
    placement = read_manifest(place).placement
    if placement is not draft.placement:
        raise UserError(
            f"The hints of the suite {suite_name(name)!r} have the placement “{placement}”, and this one "
            f"“{draft.placement}”. Save it to another suite."
        )
    return append_item(place, item, allow_invalid=allow_invalid, refused={0: [badge.gate for badge in refused]})


def suite_item(draft: Draft, hint: DraftHint) -> SuiteItem:
    """A hint as a suite holds it; the placebo is the one that solving uses."""
    text = hint.text.strip()
    made = Hint(hint.type, text, _author(hint), _split(hint), hint.suggested)
    problem = as_problem(draft.problem)
    return SuiteItem(problem, (made,), (placebo_of(text, problem, draft.plan.seed),))


def _author(hint: DraftHint) -> str:
    if hint.origin is Origin.TEMPLATE:
        return hint.author or "template"
    return f"{hint.origin}:{hint.author}" if hint.author else str(hint.origin)


def _split(hint: DraftHint) -> Split:
    held_out = hint.origin is Origin.TEMPLATE and f"/{Split.HELD_OUT}/" in hint.author
    return Split.HELD_OUT if held_out else Split.TRAIN
