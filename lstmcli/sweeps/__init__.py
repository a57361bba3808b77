"""Sweeps: many runs that together answer how many layers are enough."""
