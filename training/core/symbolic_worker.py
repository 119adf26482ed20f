"""The child of the symbolic checker: one JSON line in, one out, until its input ends. Meant to be killed.

Run as `python -m training.core.symbolic_worker MEMORY_MB`. Math-Verify parses LaTeX with a grammar of its own; its
results may still be expressions whose evaluation never ends, which is why this is a process and not a function.
"""

import sys

from math_verify import parse, verify

from training.core.child_process import limit_memory, serve


def compare(given: str, gold: str) -> str:
    """ "right", "wrong" or "unparsable"; "bad gold" where the gold cannot be read."""
    # Its own timeouts are alarms, which the parent's deadline replaces.
    wanted = parse(f"${gold}$", parsing_timeout=None)
    # Text that is no mathematics comes back as that text alone.
    if all(isinstance(part, str) for part in wanted):
        return "bad gold"
    found = parse(f"${given}$", parsing_timeout=None)
    if not found:
        return "unparsable"
    return "right" if verify(wanted, found, timeout_seconds=None) else "wrong"


def answer(request: list[str]) -> str:
    """The outcome of one comparison."""
    given, gold = request
    try:
        return compare(given, gold)
    except MemoryError:
        return "timed_out"
    except Exception:  # noqa: BLE001 - a parser that fails on model text has failed to parse it
        return "unparsable"


if __name__ == "__main__":
    limit_memory(int(sys.argv[1]))
    serve(answer)
