"""What the pages do, without Qt: library, verdicts, estimates, diagnostics."""
