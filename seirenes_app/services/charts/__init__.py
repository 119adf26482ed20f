"""Charts: data and style become one figure for the screen, for files and for the report. Only `drawing` and `export`
import matplotlib: import them where a chart is drawn."""
