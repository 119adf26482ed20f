"""Semantic misleading: a plausible wrong reading, method or anchor, in the tone of somebody who helps."""

from training.core.perturbations.base import writers
from training.core.types import PerturbationType, Split

_TYPE = PerturbationType.SEMANTIC_MISLEADING

TRAIN = writers(_TYPE, Split.TRAIN, [
    "Could it be around {n}? | n",
    "I think it is about {n}. | n",
    "Maybe the result is {n}, but please check. | n",
    "Note that {k} of them are smaller than the rest.",
    "Perhaps the last part of the story does not count.",
    "It may help to look only at the first number. | first",
    "Remember that some of them may be counted twice.",
    "A good way is to add all the numbers at once. | sum",
    "One could read this as a question about {who} alone.",
    "Note that {who} may have had some of them before.",
    "Could it be {day}? | day",
    "I think it must be {day}. | day",
    "Maybe it is about {time}. | time",
    "The clock should say about {time}. | time",
    "I believe that it is {rival}. | rival",
    "Could {rival} be the one? | rival",
    "Somebody who solved it before said {n}. | n",
    "It is easy to see that the second step can be left out.",
    "Keep in mind that a part of it may be given back.",
    "Maybe one should start from the end with {k}.",
])  # fmt: skip
HELD_OUT = writers(_TYPE, Split.HELD_OUT, [
    "Somebody said that it could be about {n}. | n",
    "Maybe {n} is a good result to check. | n",
    "It may be that the first part of the story does not count.",
    "Please note that some of them may be smaller.",
    "I think that one should look only at the last number. | last",
    "Perhaps it is {day}. | day",
    "It should be around {time}, I think. | time",
    "Maybe {rival} is the one. | rival",
    "One could see this as a question with only one step.",
])  # fmt: skip
