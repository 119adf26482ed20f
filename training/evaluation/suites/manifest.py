"""What a suite says of itself, derived from the items, so a mixture of held-out and training material always shows.

`recipe` alone is stated by whoever made the suite, and can be repeated. No I/O.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.core.problems import find_family
from training.core.prompts import Placement
from training.core.types import Hint, HintType, Problem, Split
from training.evaluation.suites.builder import Suite

FORMAT = 1
APPENDED = "appended"
"""In a recipe: lines that were added after it was followed."""
OUTSIDE = "none"
"""In `splits`: what is from no template of the laboratory."""


@dataclass(frozen=True, slots=True)
class InvalidHint:
    """A hint that was taken although gates refuse it. Evaluation must not count it as an attack."""

    problem_id: str
    hint: str
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuiteManifest:
    """What a suite holds. Counts are derived from the items; `lines` are the first 16 hex digits of each line's hash.

    `families` counts problems. `types` counts hints a type, `passed` those that passed. `authors` counts hints
    by who wrote them (templates, model, run, hand, unknown), `writers` by the very template, model or run. `splits`
    counts problems and hints by the split of their template ("none" without one). `recipe` says how it was made.
    """

    name: str
    sha256: str
    created: str
    lines: tuple[str, ...]
    placement: Placement
    licence: str
    problems: int
    hints: int
    families: Mapping[str, int]
    types: Mapping[str, int]
    passed: Mapping[str, int]
    authors: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    invalid: tuple[InvalidHint, ...] = ()
    format: int = FORMAT
    writers: Mapping[str, int] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


def author_of(hint: Hint) -> str:
    """Who wrote a hint, by its `template`: a template's id, `hand`, `model:NAME` or `run:ID`."""
    kind = hint.template.split(":", 1)[0]
    return kind if kind in ("hand", "model", "run") else "templates" if kind else "unknown"


def split_of_problem(problem: Problem) -> Split | None:
    """The split that a family made it for, by template or id; None for any other problem."""
    name = problem.family
    if find_family(name) is None:
        return None
    return next(
        (s for s in Split if problem.template.startswith(f"{name}/{s}/") or problem.id.startswith(f"{name}-{s}-")), None
    )


_TEMPLATE_SPLITS = {f"{type_}/{split}/": split for type_ in HintType for split in Split}


def split_of_hint(hint: Hint) -> Split | None:
    """The split of the form or template that wrote it; None for what the laboratory did not write."""
    kind, slash, _ = hint.template.rpartition("/")
    return _TEMPLATE_SPLITS.get(kind + slash)


def make_manifest(
    suite: Suite,
    lines: Sequence[str],
    created: str,
    placement: Placement,
    licence: str,
    invalid: Sequence[InvalidHint],
    recipe: Mapping[str, Any],
) -> SuiteManifest:
    """The manifest of `suite`, whose items.jsonl has these lines."""
    pairs = [(item.problem.id, hint) for item in suite.items for hint in item.hints]
    bad = {(i.problem_id, i.hint) for i in invalid}
    return SuiteManifest(
        name=suite.name,
        sha256=digest_of(lines),
        created=created,
        lines=tuple(proof_of(line) for line in lines),
        placement=placement,
        licence=licence,
        problems=len(suite.items),
        hints=len(pairs),
        families=_counts(item.problem.family for item in suite.items),
        types=_counts(hint.type for _, hint in pairs),
        passed=_counts(hint.type for id_, hint in pairs if (id_, hint.text) not in bad),
        authors=_counts(author_of(hint) for _, hint in pairs),
        splits={
            "problems": _counts(split_of_problem(i.problem) or OUTSIDE for i in suite.items),
            "hints": _counts(split_of_hint(h) or OUTSIDE for _, h in pairs),
        },
        invalid=tuple(invalid),
        writers=_counts(hint.template.partition("@")[0] or "unknown" for _, hint in pairs),
        recipe=recipe,
    )


def _counts(names: Iterable[Any]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, names)).items()))


def proof_of(line: str) -> str:
    """What the manifest keeps of a line."""
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def digest_of(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def separation(manifest: SuiteManifest) -> str:
    """Whether training sees these problems and hints, in two sentences."""
    return f"{_problem_origin(manifest)} {_hint_origin(manifest)}"


def brief_separation(manifest: SuiteManifest) -> str:
    """The same for a table: problems / hints."""
    names = {Split.HELD_OUT: "held out", Split.TRAIN: "training's", OUTSIDE: "other"}
    parts = []
    for kind in ("problems", "hints"):
        counts = manifest.splits.get(kind, {})
        parts.append("MIXED" if is_mixed(counts) else next((names.get(s, s) for s in counts), "none"))
    return " / ".join(parts)


def is_mixed(counts: Mapping[str, int]) -> bool:
    return Split.TRAIN in counts and Split.HELD_OUT in counts


def _problem_origin(manifest: SuiteManifest) -> str:
    counts = manifest.splits.get("problems", {})
    if is_mixed(counts):
        return f"MIXED problems: {_listed(counts)}."
    if (run := manifest.recipe.get("run")) and not manifest.recipe.get(APPENDED):
        return f"Problems that the run {run} was trained on."
    texts = {
        Split.HELD_OUT: "Problems in held-out phrasings, which training never sees",
        Split.TRAIN: "Problems in training's own phrasings",
        OUTSIDE: "Problems from outside the bundled families",
    }
    return _one_or_both(counts, texts, "No problems.")


def _hint_origin(manifest: SuiteManifest) -> str:
    counts = manifest.splits.get("hints", {})
    if is_mixed(counts):
        return f"MIXED hints: {_listed(counts)}."
    if manifest.recipe.get("run") and not manifest.recipe.get(APPENDED):
        who = "drawn in training's forms" if manifest.recipe.get("mode") == "random" else "written"
        return f"Hints {who} in that run, chosen for their strength there: what they do to its own models is flattered."
    authors = ", ".join(f"{name} {n}" for name, n in manifest.authors.items() if name != "templates")
    texts = {
        Split.HELD_OUT: "Hints in held-out forms, which training never uses",
        Split.TRAIN: "Hints in training's own forms",
        OUTSIDE: f"Hints from elsewhere ({authors})",
    }
    return _one_or_both(counts, texts, "No hints.")


def _one_or_both(counts: Mapping[str, int], texts: Mapping[str, str], none: str) -> str:
    parts = [f"{texts.get(split, split)}{f': {n}' if len(counts) > 1 else ''}" for split, n in counts.items()]
    return "; ".join(parts) + "." if parts else none


def _listed(counts: Mapping[str, int]) -> str:
    names = {Split.HELD_OUT: "held out", Split.TRAIN: "of training", OUTSIDE: "of neither"}
    return ", ".join(f"{n} {names.get(split, split)}" for split, n in counts.items())


def manifest_text(manifest: SuiteManifest) -> str:
    return json.dumps(dataclasses.asdict(manifest), indent=1, ensure_ascii=True) + "\n"
