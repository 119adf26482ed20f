"""The child of the symbolic checker: one JSON line in, one out, until its input ends. Meant to be killed.

Run as `python -m training.core.symbolic_worker MEMORY_MB`. Math-Verify parses LaTeX with a grammar of its own; its
results may still be expressions whose evaluation never ends, which is why this is a process and not a function.
"""

import json
import sys

from math_verify import parse, verify


def limit_memory(megabytes: int) -> None:
    """Bound the address space where the system can, so that a huge power cannot take the machine's memory."""
    try:
        import resource
    except ImportError:  # no such limit on this system; the parent's deadline remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


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


def main() -> None:
    limit_memory(int(sys.argv[1]))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        given, gold = json.loads(line)
        try:
            outcome = compare(given, gold)
        except MemoryError:
            outcome = "timed_out"
        except Exception:  # noqa: BLE001 - a parser that fails on model text has failed to parse it
            outcome = "unparsable"
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
