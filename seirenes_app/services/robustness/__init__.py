"""How robust a model is over its checkpoints: figures, charts as values, tables and sentences.

`book.RobustnessBook` opens a run or an evaluation and gives `values.Panel`s. The page draws them, the report prints
them, the terminal tells them: nobody computes a figure twice.
"""
