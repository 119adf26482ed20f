"""Problem sets from outside: files and hub data sets, read row by row into problems that can be verified.

`importing` turns rows into problems and a report of what was left out; `sources` opens files, `hub` opens data sets and
presets. Nothing gets in as verifiable that the checker cannot read. No torch, no transformers.
"""
