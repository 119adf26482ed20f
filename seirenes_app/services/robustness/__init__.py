"""Robustness over checkpoints: figures, panels, tables and sentences, the same for page, report and terminal."""
