"""Figures, drawn with matplotlib from tables and arrays: nothing here reads a file."""
