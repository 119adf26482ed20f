"""How robust a model is over its checkpoints: figures, charts as values, tables and sentences.

`result_source.ResultSource` opens a run or an evaluation and gives `types.Panel`s. Page, report and terminal show them:
no figure is computed twice.
"""
