"""What the pages do, without Qt: runs, evaluations, hints, charts, reports, diagnostics."""
