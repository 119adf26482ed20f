"""The `seirenes` command. A module a group of verbs: `add_parsers(verbs)` and a function of each verb's name."""
