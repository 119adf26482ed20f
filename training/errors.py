"""The errors whose text is shown to the user (everything else that is raised is a bug), and exit codes of processes."""

import sys
import traceback
from collections.abc import Callable


class UserError(Exception):
    """Something the user can fix: the text, shown as it stands, says what happened, where, and what to do."""


class NotReadyError(UserError):
    """Nothing is wrong: what was asked for is not there yet."""


def exit_code(work: Callable[[], int]) -> int:
    """What `work` returns; 2 for an error that the user can fix, 130 for an interrupt, 1 for a bug."""
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception:  # noqa: BLE001 - the edge of the process: everything that is left is a bug, and goes to the log
        traceback.print_exc()
        return 1
