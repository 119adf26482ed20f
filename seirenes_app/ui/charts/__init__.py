"""Charts: data and style become one figure for the screen, for files and for the report."""
