"""Keep the garbage collector's full rounds short: what a window is built of never becomes garbage while it is open.

Libraries and widgets are half a million objects. A full round over them holds the window up for a tenth of a second;
over what was made since, for a few milliseconds.
"""

from __future__ import annotations

import gc


def settle_heap() -> None:
    """Collect once, and leave what is left out of later rounds. Call it when the window is built."""
    gc.collect()
    gc.freeze()
