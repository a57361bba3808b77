"""Series from files and tasks, their windows, and baselines."""
