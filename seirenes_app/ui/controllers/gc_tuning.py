"""Keep the garbage collector's full rounds short.

Libraries and widgets are half a million objects that never become garbage while the window is open. A full round over
them holds the window up for a tenth of a second; over what was made since, for a few milliseconds.
"""

from __future__ import annotations

import gc


def settle_heap() -> None:
    """Collect once, and leave what remains out of later rounds. Call it when the window is built."""
    gc.collect()
    gc.freeze()
