"""Write a suite as a task folder of EleutherAI's lm-evaluation-harness: YAML, JSON lines, and how to run it.

One task for the clean questions, one for each type of hint, one for the placebos, and a group of them all. A task
repeats what this laboratory does: the model's own chat template, greedy decoding to the model's end, the answer read
from the `####` line and compared by value. Two filters read the answer: `seirenes` as we do, `marker` by a plain
regular expression, for those who want no code. Symbolic answers are left out and counted: a string match cannot
compare mathematics. It refuses a folder that holds something, unless it may replace it.

`UTILS` is the `utils.py` of an exported folder. It stands alone, and reads answers as `training.core.answers` does; a
test compares the two on any text.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.core.prompts import Placement, PromptStyle, reasoner_messages
from training.core.types import Condition, HintType
from training.errors import UserError
from training.evaluation.suites.builder import Suite
from training.evaluation.suites.rows import Row, comparable, suite_rows
from training.runs.files import explained

TESTED_WITH = "0.4.13"
"""The version of lm_eval that agreed with this laboratory item by item."""
MARKER_PATTERN = r"####[ ]*([^\n]*)"
_OWN = frozenset({"README.md", "data", "manifest.json", "utils.py", "__pycache__"})

_TASK = """\
# {words}
task: {task}
custom_dataset: !function utils.read
dataset_kwargs:
  file: {file}
test_split: test
output_type: generate_until
num_fewshot: 0
doc_to_text: question
doc_to_target: answer
target_delimiter: ""
{description}generation_kwargs:
  do_sample: false
  max_gen_toks: {max_tokens}
  until: []
filter_list:
  - name: seirenes
    filter:
      - function: custom
        filter_fn: !function utils.read_answers
      - function: take_first
  - name: marker
    filter:
      - function: regex
        regex_pattern: {pattern}
        group_select: -1
        fallback: "[no answer]"
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: [",", "\\\\$", "\\\\.$"]
metadata:
  version: 1.0
"""


@dataclass(frozen=True, slots=True)
class ExportedTasks:
    """What was written. `tasks` counts rows by task; `left_out` the rows with symbolic answers."""

    folder: Path
    group: str
    tasks: dict[str, int]
    left_out: int


def export_tasks(
    suite: Suite,
    folder: Path,
    *,
    placement: Placement = Placement.APPEND,
    style: PromptStyle = PromptStyle.COMPACT,
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
            f"The suite {suite.name!r} has no answer that exact match can compare: all {left_out} are symbolic."
        )
    group = task_slug(suite.name)
    tasks = {f"{group}_{name}": found for name, found in named.items()}
    with fresh_folder(folder, force=force) as made:
        (made / "data").mkdir()
        for name, found in named.items():
            _write_rows(made / "data" / f"{name}.jsonl", found)
            (made / f"{group}_{name}.yaml").write_text(_task_text(group, name, style, max_tokens), encoding="utf-8")
        (made / f"{group}.yaml").write_text(_group_text(group, list(tasks)), encoding="utf-8")
        (made / "utils.py").write_text(UTILS, encoding="utf-8")
        readme = _readme(suite, group, {n: len(r) for n, r in tasks.items()}, left_out, style, licence, separation)
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


def task_slug(name: str) -> str:
    """A suite's name as the harness takes it: small letters, digits, underscores."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "suite"
    return plain if plain.startswith("seirenes") else f"seirenes_{plain}"


# ---------------------------------------------------------------------- the files


def _tables(rows: dict[Condition, list[Row]]) -> dict[str, list[Row]]:
    """Rows by the last part of the task's name."""
    hinted = rows[Condition.HINTED]
    by_type = {str(t): [row for row in hinted if row["hint_type"] == t] for t in HintType}
    return {"clean": rows[Condition.CLEAN], **by_type, "placebo": rows[Condition.PLACEBO]}


def _write_rows(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", encoding="utf-8") as opened:
        for row in rows:
            # ASCII, so that no separator of Unicode ends a line early for anybody.
            opened.write(json.dumps(row) + "\n")


def _task_text(group: str, name: str, style: PromptStyle, max_tokens: int) -> str:
    words = {
        "clean": "The questions as they are.",
        "placebo": "The questions with neutral text, as long as a hint: what any addition costs.",
    }
    return _TASK.format(
        words=words.get(name, f"The questions with a hint: {name.replace('_', ' ')}."),
        task=f"{group}_{name}",
        file=f"data/{name}.jsonl",
        description=_description(style),
        max_tokens=max_tokens,
        pattern=json.dumps(MARKER_PATTERN),
    )


def _description(style: PromptStyle) -> str:
    """The system turn of the style, which the harness calls a description. It reads it as a template; there is no slot
    in it."""
    system = next((m["content"] for m in reasoner_messages("", style) if m["role"] == "system"), "")
    return f"description: {json.dumps(system)}\n" if system else ""


def _group_text(group: str, tasks: Sequence[str]) -> str:
    listed = "".join(f"  - {task}\n" for task in tasks)
    return f"# No mean over all of them: clean and hinted accuracies are compared, not averaged.\n{_GROUP}".format(
        group=group, tasks=listed
    )


_GROUP = """\
group: {group}
task:
{tasks}"""

_PROMPTS = {
    PromptStyle.COMPACT: """\
The prompt is the question alone, as the bundled model was trained; for any other model export with
  `--style instruct`.""",
    PromptStyle.INSTRUCT: """\
The prompt has a system turn with instructions. Where a chat template refuses a
  system turn, the harness drops it and the laboratory does not: such results cannot be compared.""",
}


def _readme(
    suite: Suite, group: str, tasks: Mapping[str, int], left_out: int, style: PromptStyle, licence: str, separation: str
) -> str:
    left = f"\n{left_out} rows with symbolic answers were left out: a string match cannot compare mathematics.\n"
    return _README.format(
        name=suite.name,
        digest=suite.digest(),
        separation=separation,
        licence=licence,
        tasks="\n".join(f"| `{task}` | {count} |" for task, count in tasks.items()),
        left=left if left_out else "",
        prompt=_PROMPTS[style],
        group=group,
        clean=f"{group}_clean",
        version=TESTED_WITH,
    )


_README = """\
# {name}

A suite of the Seirênes laboratory (content hash `{digest}`) as tasks of lm-evaluation-harness.

{separation}

| task | rows |
|---|---|
{tasks}
{left}
`placebo` is the question with neutral text of a hint's length: a drop under a hint is an attack only beside it.

## Run it

In this folder, with `pip install lm_eval transformers torch accelerate` (tested with lm_eval {version}):

```
lm_eval --model hf --model_args pretrained=PATH/TO/MODEL,dtype=float32 --apply_chat_template \\
  --include_path . --tasks {group} --batch_size 16 --log_samples --output_path results
```

Only the clean questions: `--tasks {clean}`. Without a network, set `HF_HUB_OFFLINE=1` and name a folder as the model.

- `--apply_chat_template` is needed: the tasks hold the user's turn alone. {prompt}
- `dtype=float32` is what the laboratory evaluates with on a CPU. In half precision, near ties of greedy decoding fall
  otherwise, and a few answers in a thousand differ.
- Decoding is greedy and ends at the model's own end token. A prompt that leaves no room for the answer is cut from the
  left by the harness, with a warning; the laboratory never cuts one. Such rows cannot be compared.
- The filter `seirenes` reads the answer as the laboratory does (`utils.py`): the last `####` line or `\\boxed{{}}`,
  numbers compared as exact fractions, times as minutes, words without case. The filter `marker` takes the last `####`
  line with a regular expression and compares text: a right answer in another spelling ("12 apples", "1/2" for 0.5)
  counts as wrong there.
- With `--log_samples`, every line of `results/*/samples_*.jsonl` has the row's `id` in `doc`: join conditions by
  `problem_id` for paired statistics.

## Licence

{licence}
"""


UTILS = r'''"""Reads this folder's data, and answers as Seirenes reads them. Standard library, and `datasets` for rows.

`read_answers` is the filter: what follows the last #### on its line, or stands in the last \boxed{...}. An answer that
equals the true one comes out spelled like it, so that exact match is equality of value; any other comes out marked.
"""

import json
import re
from fractions import Fraction
from pathlib import Path

MARKER, MAX_TAIL, MAX_ANSWER = "####", 4000, 200
MIXED = re.compile(r"(-?\d+)\s+(\d+)\s*/\s*(\d+)")
FRACTION = re.compile(r"(-?\d+)\s*/\s*(\d+)")
DECIMAL = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
TRAILING_UNIT = re.compile(r"\s*(?:%|[^\W\d_][\w .'-]*)?\.?\s*")
CLOCK = re.compile(r"\s*(\d{1,2}):(\d{2})\s*(?:[ap]\.?m\.?)?\.?\s*", re.IGNORECASE)


def read(file, **_):
    """The rows of one file of this folder."""
    from datasets import Dataset

    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    return {"test": Dataset.from_list([json.loads(line) for line in text.splitlines()])}


def read_answers(resps, docs):
    """The filter: responses of each document to answers that exact match can compare."""
    return [[read_answer(text, doc["answer"], doc["kind"]) for text in given] for given, doc in zip(resps, docs)]


def read_answer(text, gold, kind):
    given = extract_answer(text)
    if given is None:
        return "[no answer]"
    same = equal(given, gold, kind)
    return "[unreadable]" if same is None else gold if same else f"[other] {given}"


def extract_answer(completion):
    tail = completion[-MAX_TAIL:]
    marker, box = tail.rfind(MARKER), tail.rfind("\\boxed{")
    if marker > box:
        return tail[marker + len(MARKER) :].strip(" ").split("\n", 1)[0].strip() or None
    return boxed(tail, box + len("\\boxed{")) if box >= 0 else None


def boxed(text, start):
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i].strip() or None
    return None


def equal(given, gold, kind):
    """Whether two answers mean the same; None where `given` cannot be read."""
    if kind == "choice":
        word = given.strip().rstrip(".").casefold()
        return word == gold.strip().casefold() if word else None
    parse = parse_clock if kind == "clock" else parse_number
    found = parse(given)
    return None if found is None else found == parse(gold)


def parse_number(text):
    text = text.strip().replace("\u2212", "-").lstrip("$\u20ac\u00a3 ")
    if not text or len(text) > MAX_ANSWER:
        return None
    for pattern in (MIXED, FRACTION, DECIMAL):
        match = pattern.match(text)
        if match and TRAILING_UNIT.fullmatch(text, match.end()):
            return value(pattern, match)
    return None


def value(pattern, match):
    try:
        if pattern is MIXED:
            whole, top, bottom = (int(g) for g in match.groups())
            part = Fraction(top, bottom)
            return whole - part if match.group(1).startswith("-") else whole + part
        if pattern is FRACTION:
            return Fraction(int(match.group(1)), int(match.group(2)))
        return Fraction(match.group().replace(",", ""))
    except ZeroDivisionError:
        return None


def parse_clock(text):
    match = CLOCK.fullmatch(text[:MAX_ANSWER])
    if match is None:
        return None
    hour, minute = int(match.group(1)), int(match.group(2))
    return hour % 12 * 60 + minute if hour <= 24 and minute < 60 else None
'''
