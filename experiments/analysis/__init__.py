"""What do tables of results say? Differences, errors of predictions, series over time."""
