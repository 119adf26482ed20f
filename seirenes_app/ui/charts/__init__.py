"""Charts on the screen: the Qt side of `services.charts`."""
