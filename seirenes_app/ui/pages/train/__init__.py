"""The parts of the Train page: the form of a new run, and the view of a run."""
