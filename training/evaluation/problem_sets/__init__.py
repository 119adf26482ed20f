"""Problem sets from outside: files and hub data sets, read row by row into problems that can be verified."""
