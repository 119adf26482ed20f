"""Write a suite as a task folder of EleutherAI's lm-evaluation-harness: YAML, JSON lines, and how to run it.

One task for the clean questions, one for each type of hint, one for the placebos, and a group of them all. A task
repeats what this laboratory does: the model's own chat template, greedy decoding to the model's end, the answer read
from the `####` line and compared by value. Two filters read the answer: `seirenes` as we do, `marker` by a plain
regular expression, for those who want no code. Symbolic answers are left out and counted: a string match cannot
compare mathematics. It refuses a folder that holds something, unless it may replace it.

The exported `utils.py` stands alone, and reads answers as `training.core.answers` does; a test compares the two on any
text.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.core import answer_reader
from training.core.answers import choices
from training.core.prompts import Placement, PromptProfile, join_hint
from training.core.question_parser import move_question
from training.core.types import AnswerKind, Condition, HintType, Problem
from training.errors import UserError
from training.evaluation.suites.builder import Suite
from training.prompt_files import COMPACT, built_in
from training.runs.files import explained

TESTED_WITH = "0.4.13"
"""The version of lm_eval that agreed with this laboratory item by item."""
MARKER_PATTERN = r"####[ ]*([^\n]*)"
_OWN = frozenset({"README.md", "data", "manifest.json", "utils.py", "__pycache__"})

Row = dict[str, Any]
_TEMPLATES = Path(__file__).with_name("lm_eval_templates")


@dataclass(frozen=True, slots=True)
class ExportedTasks:
    """What was written. `tasks` counts rows by task; `left_out` the rows with symbolic or scored answers."""

    folder: Path
    group: str
    tasks: dict[str, int]
    left_out: int


def export_tasks(
    suite: Suite,
    folder: Path,
    *,
    placement: Placement = Placement.APPEND,
    prompts: PromptProfile | None = None,
    max_tokens: int = 128,
    licence: str = "",
    separation: str = "",
    force: bool = False,
) -> ExportedTasks:
    """Write the folder, whole or not at all. Raises a `UserError` for one that is in use and for a suite with nothing
    that can be compared."""
    rows = suite_rows(suite, placement)
    named = {name: comparable(found) for name, found in _tables(rows).items()}
    left_out = sum(len(found) for found in rows.values()) - sum(len(found) for found in named.values())
    named = {name: found for name, found in named.items() if found}
    if not named:
        raise UserError(
            f"The suite {suite.name!r} has no answer that exact match can compare: all {left_out} are symbolic "
            "or scored by their family."
        )
    group, used = task_slug(suite.name), prompts or built_in(COMPACT)
    tasks = {f"{group}_{name}": found for name, found in named.items()}
    with fresh_folder(folder, force=force) as made:
        (made / "data").mkdir()
        for name, found in named.items():
            _write_rows(made / "data" / f"{name}.jsonl", found)
            (made / f"{group}_{name}.yaml").write_text(_task_text(group, name, used, max_tokens), encoding="utf-8")
        (made / f"{group}.yaml").write_text(_group_text(group, list(tasks)), encoding="utf-8")
        (made / "utils.py").write_text(utils_source(), encoding="utf-8")
        readme = _readme(suite, group, {n: len(r) for n, r in tasks.items()}, left_out, used, licence, separation)
        (made / "README.md").write_text(readme, encoding="utf-8")
    return ExportedTasks(folder, group, {name: len(found) for name, found in tasks.items()}, left_out)


def export_rows(
    suite: Suite, folder: Path, *, placement: Placement, manifest: str, force: bool = False
) -> dict[str, int]:
    """Write clean.jsonl, hinted.jsonl and placebo.jsonl with the manifest beside them; counts by file name."""
    rows = suite_rows(suite, placement)
    with fresh_folder(folder, force=force) as made:
        for condition, found in rows.items():
            _write_rows(made / f"{condition}.jsonl", found)
        (made / "manifest.json").write_text(manifest, encoding="utf-8")
    return {f"{condition}.jsonl": len(found) for condition, found in rows.items()}


@contextmanager
def fresh_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """A temporary folder beside `folder`, moved there when all went well.

    A folder in use is a `UserError`; with `force` it is replaced, if it holds nothing but an earlier export.
    """
    _refuse_in_use(folder, force)
    making = folder.with_name(f".{folder.name}.making")
    try:
        with explained("Writing the folder", folder):
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            yield making
            if folder.exists():
                shutil.rmtree(folder)
            making.replace(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _refuse_in_use(folder: Path, force: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file. Name a folder to write to.")
    with explained("Looking into", folder):
        names = sorted(file.name for file in folder.iterdir())
    if names and not force:
        raise UserError(f"{folder} holds something already. Name another folder, or replace an export with --force.")
    strange = next((n for n in names if n not in _OWN and not n.endswith((".yaml", ".jsonl"))), None)
    if strange is not None:
        raise UserError(f"{folder} holds more than an export ({strange}), so it is not replaced. Name another folder.")


def template(name: str) -> str:
    """The text of one of the templates of an exported folder."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def task_slug(name: str) -> str:
    """A suite's name as the harness takes it: small letters, digits, underscores."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "suite"
    return plain if plain.startswith("seirenes") else f"seirenes_{plain}"


# ---------------------------------------------------------------------- the files


def _tables(rows: dict[Condition, list[Row]]) -> dict[str, list[Row]]:
    """Rows by the last part of the task's name."""
    hinted = rows[Condition.HINTED]
    by_type = {str(t): [row for row in hinted if row["hint_type"] == t] for t in HintType}
    tables = {"clean": rows[Condition.CLEAN], **by_type, "placebo": rows[Condition.PLACEBO]}
    return tables | ({"needed": rows[Condition.NEEDED]} if rows[Condition.NEEDED] else {})


def _write_rows(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", encoding="utf-8") as opened:
        for row in rows:
            # ASCII, so that no separator of Unicode ends a line early for anybody.
            opened.write(json.dumps(row) + "\n")


def _task_text(group: str, name: str, prompts: PromptProfile, max_tokens: int) -> str:
    words = {
        "clean": "The questions as they are.",
        "placebo": "The questions with neutral text, as long as a hint: what any addition costs.",
        "needed": "The question before the story's last sentence, so that text after it must be used.",
    }
    return template("task.yaml").format(
        words=words.get(name, f"The questions with a hint: {name.replace('_', ' ')}."),
        task=f"{group}_{name}",
        file=f"data/{name}.jsonl",
        description=_description(prompts),
        question=_question(prompts),
        max_tokens=max_tokens,
        pattern=json.dumps(MARKER_PATTERN),
    )


def _description(prompts: PromptProfile) -> str:
    """The profile's system turn, which the harness calls a description."""
    system = prompts.reasoner.system
    if "{problem}" in system:
        raise UserError(
            f"The prompt profile {prompts.name!r} has the problem in its system text, which a task cannot have. Put "
            "{problem} into reasoner.user."
        )
    return f"description: {json.dumps(_literal(system))}\n" if system else ""


def _question(prompts: PromptProfile) -> str:
    """What the harness makes the user turn of: a column, or a template."""
    user = prompts.reasoner.user
    return (
        "question" if user == "{problem}" else json.dumps("{{question}}".join(map(_literal, user.split("{problem}"))))
    )


def _literal(text: str) -> str:
    """Text that the harness's templates leave as it is."""
    special = any(mark in text for mark in ("{{", "{%", "{#"))
    return f"{{% raw %}}{text}{{% endraw %}}" if special else text


def _group_text(group: str, tasks: Sequence[str]) -> str:
    listed = "".join(f"  - {task}\n" for task in tasks)
    return f"# No mean over all of them: clean and hinted accuracies are compared, not averaged.\n{_GROUP}".format(
        group=group, tasks=listed
    )


_GROUP = """\
group: {group}
task:
{tasks}"""

_NO_SYSTEM = """\
The prompt ({label}) is the question alone, as the bundled model was trained; for any other model
  export with `--prompts neutral`."""
_WITH_SYSTEM = """\
The prompt ({label}) has a system turn with instructions. Where a chat template refuses a
  system turn, the harness drops it and the laboratory puts it into the user turn: such results cannot be compared."""


def _readme(
    suite: Suite,
    group: str,
    tasks: Mapping[str, int],
    left_out: int,
    prompts: PromptProfile,
    licence: str,
    separation: str,
) -> str:
    left = f"\n{left_out} rows with symbolic or scored answers were left out: a string match cannot compare them.\n"
    return template("README.md").format(
        name=suite.name,
        digest=suite.digest(),
        separation=separation,
        licence=licence,
        tasks="\n".join(f"| `{task}` | {count} |" for task, count in tasks.items()),
        left=left if left_out else "",
        prompt=(_WITH_SYSTEM if prompts.reasoner.system else _NO_SYSTEM).format(label=prompts.label),
        group=group,
        clean=f"{group}_clean",
        version=TESTED_WITH,
    )


# ---------------------------------------------------------------------- a suite as plain rows


def suite_rows(suite: Suite, placement: Placement) -> dict[Condition, list[Row]]:
    """The rows of each condition. `question` is what a solver is shown; `original` is the question alone."""
    rows: dict[Condition, list[Row]] = {condition: [] for condition in Condition}
    for item in suite.items:
        problem = item.problem
        rows[Condition.CLEAN].append(_row(problem, Condition.CLEAN, -1, problem.question))
        for index, hint in enumerate(item.hints):
            text = join_hint(problem.question, hint.text, placement)
            row = _row(problem, Condition.HINTED, index, text, hint.text, hint.type)
            rows[Condition.HINTED].append(row | {"suggested": hint.suggested or "", "written_by": hint.template})
        for index, placebo in enumerate(item.placebos):
            text = join_hint(problem.question, placebo, placement)
            type_ = item.hints[index].type if index < len(item.hints) else None
            rows[Condition.PLACEBO].append(_row(problem, Condition.PLACEBO, index, text, placebo, type_))
        if (moved := move_question(problem.question)) is not None:
            rows[Condition.NEEDED].append(_row(problem, Condition.NEEDED, -1, moved))
    return rows


def _row(
    problem: Problem,
    condition: Condition,
    index: int,
    text: str,
    added: str = "",
    type_: HintType | None = None,
) -> Row:
    """`hint` is what was added; `hint_type` of a placebo is that of the hint that it stands beside."""
    return {
        "id": f"{problem.id}/{condition}" + (f"/{index}" if index >= 0 else ""),
        "question": text,
        "answer": problem.answer,
        "kind": str(problem.kind),
        "problem_id": problem.id,
        "family": problem.family,
        "condition": str(condition),
        "index": index,
        "hint_type": str(type_ or ""),
        "hint": added,
        "suggested": "",
        "written_by": "",
        "original": problem.question,
        "choices": list(choices(problem)),
    }


def comparable(rows: list[Row]) -> list[Row]:
    """Those whose answer a string can be compared with: not the symbolic ones, nor those that a family scores."""
    return [row for row in rows if row["kind"] not in (AnswerKind.SYMBOLIC, AnswerKind.SCORED)]


_STANDALONE_ENUMS = """
try:
    from enum import StrEnum
except ImportError:  # Python 3.10
    class StrEnum(str, Enum):
        pass


class AnswerKind(StrEnum):
    NUMBER, CLOCK, CHOICE, SYMBOLIC = "number", "clock", "choice", "symbolic"
    TEXT, SCORED = "text", "scored"
"""


def utils_source() -> str:
    """The `utils.py` of an exported folder: the filter, and the source of `training.core.answer_reader`."""
    reader = inspect.getsource(answer_reader)
    _docstring, _, code = reader.partition("from __future__ import annotations\n")
    code = code.replace("from enum import StrEnum\n", "from enum import Enum\n")
    code = code.replace("from training.core.types import AnswerKind\n", _STANDALONE_ENUMS)
    head, _, rest = template("utils.py.txt").partition("import json\n")
    return f"{head}from __future__ import annotations\n\nimport json\n{rest}\n\n{code.lstrip()}"
