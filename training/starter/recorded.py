"""`python -m training.starter.recorded RUN DEST`: a finished run made small enough to ship, scrubbed of its machine.

Kept: the configuration; every event but stages, heartbeats and checkpoints that are left out; a few evaluations; the
rollouts of a few whole steps, with their search index, in one file that needs no writable folder; and, if asked, the
weights of a few checkpoints as float16. Left out: what only a resume needs, the log, the report. It refuses a run that
is not finished.
"""

import argparse
import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_file, save_file

from training.engine.checkpoint import MANIFEST, atomic_folder, verify
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir, read_plan
from training.evaluation.plan import plan_to_json
from training.evaluation.run_store import run_eval_dir
from training.evaluation.store_reader import StoreReader
from training.evaluation.v01_rows import import_rows
from training.rollouts.database import RolloutRow, RolloutWriter
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runs.config import from_dict, load_config, to_dict
from training.runs.events import EventKind, EventTail
from training.runs.files import explained, write_whole
from training.runs.paths import RunPaths
from training.runs.status import RunState, RunStatus, reduce
from training.sqlite import open_read_only

NOISE = (EventKind.STAGE, EventKind.HEARTBEAT)
LOADABLE = ("*.json", "*.jinja", "*.safetensors", "merges.txt", "vocab.txt", "*.model")
FOR_RESUME = ("loop.json", "backend.json", MANIFEST)
PATHS = ("model", "path", "problems", "_name_or_path", "base_model_name_or_path")
_PATH = re.compile(r"(?<![\w./])(?:[A-Za-z]:)?[/\\](?:[^\s/\\\"'<>|:]+[/\\])+([^\s/\\\"'<>|:,;)]*)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Record, and print what came out; 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m training.starter.recorded", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run; it is only read")
    parser.add_argument("dest", type=Path, metavar="DEST", help="folder to make")
    parser.add_argument("--steps", metavar="A,B,…", help="steps whose rollouts are kept (default: first, middle, last)")
    parser.add_argument("--evaluations", type=int, default=2, metavar="N", help="evenly spaced ones (default: 2)")
    parser.add_argument("--checkpoints", type=int, default=0, metavar="N", help="evenly spaced ones (default: none)")
    parser.add_argument("--force", action="store_true", help="replace what stands at DEST")
    options = parser.parse_args(arguments)
    try:
        steps = _parse_steps(options.steps) if options.steps else None
        record(options.run, options.dest, steps, options.evaluations, options.checkpoints, force=options.force)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sizes = {file: file.stat().st_size for file in sorted(options.dest.rglob("*")) if file.is_file()}
    for file, size in sizes.items():
        print(f"{size:>12,}  {file.relative_to(options.dest)}")
    print(f"{sum(sizes.values()):>12,}  bytes in all")
    return 0


def _parse_steps(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise UserError(f"--steps {text!r} is no list of steps. Write for example 1,40,80.") from None


def record(
    run: Path, dest: Path, steps: list[int] | None, evaluations: int, checkpoints: int, *, force: bool = False
) -> None:
    """Make `dest` out of `run`, whole or not at all."""
    source = RunPaths(run.resolve())
    dest = dest.resolve()
    if dest == source.root or source.root in dest.parents:
        raise UserError(f"{dest} lies in the run itself. Name a folder elsewhere.")
    if dest.exists() and not force:
        raise UserError(f"{dest} is there already. Name another folder, or replace it with --force.")
    temporary = dest.with_name(f".{dest.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with explained("Making", dest):
            temporary.mkdir(parents=True)
            made = RunPaths(temporary)
            plain = from_dict(scrub(to_dict(load_config(source.config))), str(source.config))
            write_whole(made.config, json.dumps(to_dict(plain), indent=1) + "\n")
            _copy_evaluations(source, made, evaluations)
            _copy_rollouts(source, made, steps)
            _copy_checkpoints(source, made, checkpoints)
            _write_events(source, made)
            shutil.rmtree(dest, ignore_errors=True)
            temporary.replace(dest)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_events(source: RunPaths, made: RunPaths) -> None:
    lines: list[str] = []
    state = RunState()
    for event in EventTail(source.events).poll():
        state = reduce(state, event)
        data = scrub(event.data)
        missing = event.kind == EventKind.CHECKPOINT and not (made.root / data["path"]).is_dir()
        if event.kind in NOISE or missing:
            continue
        if event.kind == EventKind.LAUNCH:
            # Of the machine, what decides speed, without the build of a kernel.
            machine = data.get("machine") or {}
            kept = {k: machine[k] for k in ("cpu", "cores", "memory_mb", "gpu") if k in machine}
            data |= {"pid": 0, "machine": kept | {"system": str(machine.get("system", "")).split("-")[0]}}
        whole = {"v": 1, "seq": len(lines) + 1, "t": round(event.t, 3), "event": event.kind, **data}
        lines.append(json.dumps(whole, ensure_ascii=False, allow_nan=False))
    if state.status is not RunStatus.FINISHED:
        raise UserError(f"{source.root} is no finished run ({state.status}). Let it finish, then record it.")
    write_whole(made.events, "\n".join(lines) + "\n")


def scrub(value: Any) -> Any:
    """The value with every absolute path in its texts cut down to its last name."""
    if isinstance(value, str):
        # A path that ends in a separator has its name before it.
        return _PATH.sub(lambda m: m[1] or re.split(r"[/\\]", m[0].rstrip("/\\"))[-1], value)
    if isinstance(value, dict):
        return {k: _last_name(v) if k in PATHS and isinstance(v, str) else scrub(v) for k, v in value.items()}
    return [scrub(v) for v in value] if isinstance(value, list) else value


def _last_name(path: str) -> str:
    """Of a whole path, whatever its folders are called; relative ones stay as they are."""
    return PureWindowsPath(path).name if path.startswith(("/", "\\")) or path[1:3] in (":\\", ":/") else path


def _copy_evaluations(source: RunPaths, made: RunPaths, count: int) -> None:
    """The store of `count` evaluations, in a file that needs no writable folder."""
    with TemporaryDirectory() as scratch:
        # A run of version 0.1 is only read, so its rows are imported elsewhere.
        imported = EvalDir(Path(scratch))
        import_rows(source, imported)
        stored = imported if imported.rows.is_file() else run_eval_dir(source)
        if not stored.rows.is_file():
            return
        plan = read_plan(stored)
        with StoreReader(stored.rows) as reader:
            done = reader.cells().present_targets()
        kept = _spaced(sorted((t for t in plan.targets if t.name in done), key=lambda t: t.step or 0), count)
        target = run_eval_dir(made)
        target.root.mkdir()
        write_whole(target.plan, plan_to_json(replace(plan, targets=tuple(kept))))
        _copy_rows(stored.rows, target.rows, [t.name for t in kept])


def _copy_rows(source: Path, dest: Path, targets: list[str]) -> None:
    """Copy a store with these targets alone, numbered in this order."""
    with closing(open_read_only(source)) as old, closing(sqlite3.connect(dest, isolation_level=None)) as db:
        old.backup(db)
        numbers = dict(db.execute("SELECT name, id FROM targets"))
        for table in ("rows", "cells", "chunks"):
            # Negative first: numbers must not meet those that are still in use.
            for new, name in enumerate(targets):
                db.execute(f"UPDATE {table} SET target = ? WHERE target = ?", [-1 - new, numbers[name]])
            db.execute(f"DELETE FROM {table} WHERE target >= 0")
            db.execute(f"UPDATE {table} SET target = -1 - target")
        db.execute("DELETE FROM targets")
        db.executemany("INSERT INTO targets VALUES (?, ?)", list(enumerate(targets)))
        db.execute("DELETE FROM meta")
        _shrink(db)


def _spaced(things: list[Any], count: int) -> list[Any]:
    """`count` of them evenly spaced, first and last among them; all where there are no more."""
    if count >= len(things):
        return things
    if count == 1:
        return things[-1:]
    return [things[round(i * (len(things) - 1) / (count - 1))] for i in range(count)]


def _copy_rollouts(source: RunPaths, made: RunPaths, steps: list[int] | None) -> None:
    reader = RolloutReader(source.rollouts)
    known = list(reader.step_counts())
    wanted = _spaced(known, 3) if steps is None else steps
    if missing := [str(s) for s in wanted if s not in known]:
        raise UserError(f"{source.rollouts} has no step {', '.join(missing)}; it has {known[0]} to {known[-1]}.")
    names = [f.name for f in fields(RolloutRow)]
    writer = RolloutWriter(made.rollouts)
    for step in wanted:
        rows = reader.rows(reader.ids(RolloutQuery(steps=(step, step))))
        writer.add_step([RolloutRow(**{name: row[name] for name in names}) for row in rows])
    writer.close()
    reader.close()
    db = sqlite3.connect(made.rollouts, isolation_level=None)
    db.execute("INSERT INTO rollouts_fts(rollouts_fts) VALUES ('optimize')")
    _shrink(db)
    db.close()


def _shrink(db: sqlite3.Connection) -> None:
    # A file in WAL mode cannot be read where nothing may be written beside it.
    db.execute("PRAGMA journal_mode=DELETE")
    # The writer's pages are for a million rows; smaller ones waste less at the end of each table.
    db.execute("PRAGMA page_size=4096")
    db.execute("VACUUM")


def _copy_checkpoints(source: RunPaths, made: RunPaths, count: int) -> None:
    for folder in _spaced(sorted(source.checkpoints.glob("step_*")), count):
        verify(folder)
        made.checkpoints.mkdir(exist_ok=True)
        with atomic_folder(made.checkpoints / folder.name) as target:
            for file in sorted({f for pattern in LOADABLE for f in folder.glob(pattern)}):
                if file.name not in FOR_RESUME:
                    _copy_loadable(file, target / file.name)


def _copy_loadable(file: Path, target: Path) -> None:
    if file.suffix == ".safetensors":
        halved = {k: v.half() if v.is_floating_point() else v for k, v in load_file(file).items()}
        save_file(halved, target, metadata={"format": "pt"})
    elif file.name in ("config.json", "adapter_config.json"):
        facts = scrub(json.loads(file.read_text(encoding="utf-8")))
        if "dtype" in facts:
            facts["dtype"] = "float16"
        write_whole(target, json.dumps(facts, indent=2) + "\n")
    else:
        shutil.copyfile(file, target)


if __name__ == "__main__":
    sys.exit(main())
