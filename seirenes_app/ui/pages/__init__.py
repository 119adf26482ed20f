"""One file a page. A page renders state and asks; it decides nothing about a run."""
