"""A command-line laboratory for stacked LSTMs."""

__version__ = "0.1.0"
