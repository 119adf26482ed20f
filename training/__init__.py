"""The science of Seirênes: self-play for reasoning robustness. Runs without the app, never imports Qt."""

__version__ = "0.1.0"
