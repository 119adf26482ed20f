"""How evenly things are spread over categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def evenness(labels: Sequence[str], categories: int) -> float:
    """Pielou's evenness (1966), H / ln(categories): 1 when all are equally frequent, 0 when one has all."""
    if not labels or categories < 2:
        return 0.0
    shares = [count / len(labels) for count in Counter(labels).values()]
    return abs(math.fsum(s * math.log(s) for s in shares)) / math.log(categories)
