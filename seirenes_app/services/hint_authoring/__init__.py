"""Hint authoring: the draft, its undo stack, its gates, its solving. No Qt."""
