"""The child that makes and scores problems of reasoning-gym: one JSON line in, one out, until its input ends.

Run as `python -m training.core.gym_worker MEMORY_MB`. Generators may search for long, and some scorers evaluate the
text they are given. So the parent lets only answers of a known form through, this process has a memory limit and a
deadline, and from its start on it may neither write, nor start a program, nor open a connection.
"""

import json
import os
import sys
from functools import cache
from typing import Any

from training.core.child_process import limit_memory, serve

_REFUSED = (
    "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.kill",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate",
    "os.putenv", "pty.", "shutil.", "socket.", "urllib.", "ftplib.", "http.", "smtplib.", "webbrowser.", "sqlite3.",
)  # fmt: skip


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: raises where anything would be written, started or connected to. It cannot be taken off."""
    if event == "open":
        _, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            raise PermissionError("the problem process may not write")
    elif event.startswith(_REFUSED):
        raise PermissionError(f"the problem process may not use {event}")


@cache
def dataset(name: str, settings: str) -> Any:
    """The generator of that name. Its item of an index is the one that this index as a seed gives."""
    from reasoning_gym import create_dataset

    return create_dataset(name, seed=0, size=1, **json.loads(settings))


def answer(request: dict[str, Any]) -> Any:
    """A problem as `{question, answer, metadata}`, or a score from 0 to 1; a text says what failed."""
    try:
        source = dataset(request["name"], json.dumps(request["settings"], sort_keys=True))
        if "entry" in request:
            return float(source.score_answer(request["answer"], request["entry"]))
        made = source[request["index"]]
        return {name: made[name] for name in ("question", "answer", "metadata")}
    except MemoryError:
        return "out of memory"
    except Exception as error:  # noqa: BLE001 - a generator or scorer that fails on its input has failed on that one
        return f"{type(error).__name__}: {error}"[:300]


def plain(made: Any) -> Any:
    """The answer as JSON; a text where it cannot be written so."""
    try:
        json.dumps(made)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:300]
    return made


def main() -> None:
    sys.dont_write_bytecode = True
    limit_memory(int(sys.argv[1]))
    import reasoning_gym  # noqa: F401 - loaded before the hook

    sys.addaudithook(refuse)
    serve(lambda request: plain(answer(request)))


if __name__ == "__main__":
    main()
