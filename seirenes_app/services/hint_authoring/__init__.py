"""Crafting perturbations: the document, its history, its gates, its solving. No Qt."""
