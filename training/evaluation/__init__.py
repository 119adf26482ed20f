"""Suites and models to rows, rows to tables. No torch: a sampler is handed in."""
