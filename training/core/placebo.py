"""Neutral text of a hint's length: what an appended remark costs when it says nothing. No I/O.

A drop under a hint counts as an attack only beside the drop under such text.
"""

from __future__ import annotations

import random

_SENTENCES = (
    "It was a quiet day.",
    "The sky was blue.",
    "There was a light wind outside.",
    "Everybody was in a good mood.",
    "The door was open.",
    "A bird was singing in a tree.",
    "The street was calm in the morning.",
    "Somebody was playing music next door.",
    "The room smelled of fresh bread.",
    "The floor had been swept.",
    "The curtains were drawn and a lamp was on.",
    "A cat was asleep near the window.",
    "The radio was on in the kitchen, very low.",
    "The light was soft and the air was warm.",
    "Nobody was in a hurry, and the tea was still warm.",
    "A dog barked somewhere far away and then was quiet again.",
)


def write_placebo(words: int, rng: random.Random) -> str:
    """Neutral sentences, no number and no name in them, of about `words` words (at least one sentence)."""
    chosen: list[str] = []
    pool = list(_SENTENCES)
    rng.shuffle(pool)
    while pool and sum(len(s.split()) for s in chosen) < words:
        missing = words - sum(len(s.split()) for s in chosen)
        best = min(pool, key=lambda s: abs(len(s.split()) - missing))
        if chosen and abs(len(best.split()) - missing) >= missing:
            break
        pool.remove(best)
        chosen.append(best)
    return " ".join(chosen)
