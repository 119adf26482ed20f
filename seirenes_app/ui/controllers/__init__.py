"""What goes on outside the window: the trainer, its run directory, and work in other threads."""
