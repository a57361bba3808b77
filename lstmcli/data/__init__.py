"""Labelled series: where they come from, how they are cut into windows, and their files."""
