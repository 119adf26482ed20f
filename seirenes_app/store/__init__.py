"""What a person keeps beside their runs: settings, and the workspace database."""
