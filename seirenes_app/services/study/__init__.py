"""A study: several variants of a run × seeds, measured alike. Definition, execution, and what the figures say."""
