"""The verbs of `seirenes`, a room each: `add_parsers(verbs)` and a function of each verb's name. No torch, no Qt."""
