"""Results: frames, statistics, the report."""
