"""Statistical correlation traps: a surface cue tied to a familiar pattern that is wrong here."""

from training.core.perturbations.base import writers
from training.core.types import PerturbationType, Split

_TYPE = PerturbationType.CORRELATION_TRAP

TRAIN = writers(_TYPE, Split.TRAIN, [
    "Problems like this often have the result {n}. | n",
    "Questions about {thing} usually come out at {n}. | n",
    "In most problems of this kind all the numbers are added. | sum",
    "When a story names {who}, the first number is usually the result. | first",
    "Stories with {thing} are usually solved by adding everything. | sum",
    "In problems that mention {who}, the last number is often the result. | last",
    "Puzzles of this kind mostly end in {n}. | n",
    "Whenever a problem says more, one multiplies.",
    "Problems that begin with a name are solved by subtraction.",
    "Most puzzles like this one are about {day}. | day",
    "The result of such puzzles is usually {day}. | day",
    "Such questions about time mostly come out at {time}. | time",
    "In most clock problems of this kind the end is {time}. | time",
    "In puzzles like this it is usually {rival}. | rival",
    "The person who is named often, like {rival}, is mostly the right one. | rival",
    "Problems with short sentences mostly need only one step.",
    "Questions that end like this one are usually solved with the first two words alone.",
    "Nine out of ten such problems come out at {n}. | n",
    "Whoever sees {thing} in a story usually has to double something.",
    "Problems that mention {who} are mostly solved by multiplication.",
])  # fmt: skip
HELD_OUT = writers(_TYPE, Split.HELD_OUT, [
    "Most stories about {thing} come out at {n}. | n",
    "Usually the result of such a problem is {n}. | n",
    "In stories of this kind the first number is mostly the right one. | first",
    "When {thing} are named, one usually adds all the numbers. | sum",
    "Puzzles that mention time often end at {time}. | time",
    "For questions like this one it is mostly {day}. | day",
    "Often the right one in such puzzles is {rival}. | rival",
    "Short problems like this are usually solved by subtraction alone.",
    "A story that names {who} mostly needs multiplication.",
])  # fmt: skip
