"""Names, things and places that stories are made of. Values only."""

from __future__ import annotations

import random
from dataclasses import dataclass

NAMES = (
    "Amara Anton Bilal Bruno Carla Chen Daria Diego Elif Emil Farah Felix Gita Hana Hugo Ines Ivan Jonas Kaito Karim "
    "Lena Leo Lucia Malik Maya Mei Milo Nadia Nils Nina Noor Olga Omar Paula Pedro Priya Quinn Rosa Samir Sana Selma "
    "Tariq Tessa Theo Uma Vera Wei Yara Yusuf Zoe"
).split()


@dataclass(frozen=True, slots=True)
class Thing:
    """A countable noun."""

    one: str
    many: str

    def count(self, n: int) -> str:
        """ "1 apple", "7 apples"."""
        return f"{n} {self.one if n == 1 else self.many}"


def _things(text: str) -> tuple[Thing, ...]:
    pairs = (word.partition(":") for word in text.split())
    return tuple(Thing(one, many or one + "s") for one, _, many in pairs)


THINGS = _things(
    "apple book coin pencil stamp shell button marble sticker card bead ribbon candle cup plate spoon key balloon "
    "kite drum lamp cushion brush:brushes box:boxes peach:peaches orange lemon melon carrot onion potato:potatoes "
    "tomato:tomatoes berry:berries cherry:cherries cookie muffin bagel egg flower seed stone feather ticket postcard "
    "letter photo magnet badge token"
)
CONTAINERS = _things("bag basket tray jar crate shelf:shelves drawer packet bowl sack")
PLACES = "garden kitchen office school library market attic cellar workshop studio".split()


def draw_names(rng: random.Random, count: int) -> list[str]:
    """Different names."""
    return rng.sample(NAMES, count)
