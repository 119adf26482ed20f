"""The report of runs and evaluations: one document, shown as one HTML file, as JSON and in the terminal."""
