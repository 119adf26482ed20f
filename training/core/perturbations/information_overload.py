"""Information overload: true or harmless extra facts. The answer does not depend on any of them."""

from training.core.perturbations.base import writers
from training.core.types import PerturbationType, Split

_TYPE = PerturbationType.INFORMATION_OVERLOAD

TRAIN = writers(_TYPE, Split.TRAIN, [
    "{other} has {k} {stuff}.",
    "{other}, a cousin, keeps {k} {stuff} at home.",
    "{other} is {k} years old.",
    "The house of {other} has {k} rooms.",
    "A bus to the market costs {k} coins.",
    "{other} bought {k} {stuff} last week.",
    "The school is {k} minutes away on foot.",
    "{other} has {k} {stuff} and {j} more at home.",
    "There are {k} trees in the garden.",
    "{other} lives in a street with {k} houses.",
    "The library opens for {k} hours a week.",
    "A friend called {other} counted {k} birds in the garden.",
    "{other} has read {k} pages of a book.",
    "The market sells {k} kinds of {stuff}.",
    "In another town, {other} owns {k} {stuff}.",
    "{other} paid {k} coins for a lamp.",
    "The bag of {other} weighs {k} pounds.",
    "It rained on {k} days last year.",
    "{other} has {k} friends in the same class.",
    "The table is {k} years old.",
])  # fmt: skip
HELD_OUT = writers(_TYPE, Split.HELD_OUT, [
    "In the garden of {other} there are {k} trees.",
    "{other} counted {k} houses on the way to school.",
    "A lamp at the market costs {k} coins.",
    "Last week {other} read {k} pages.",
    "{other} also owns {k} {stuff}, which are kept in another town.",
    "The street is {k} years old and has {j} houses.",
    "For {k} days {other} was away.",
    "The bus of {other} takes {k} minutes.",
    "In the same class there are {k} friends of {other}.",
])  # fmt: skip
