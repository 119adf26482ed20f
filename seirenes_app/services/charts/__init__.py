"""Charts: data and style become one figure for the screen, for files and for the report. No Qt.

`data`, `style`, `panels` and `training` say what a chart shows; `drawing` and `export` draw it and are the only modules
that import matplotlib, so import them where a chart is drawn.
"""
