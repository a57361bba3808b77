"""Series of the echo task, and of a user's file."""

import numpy as np

from lstmcli.config import DataConfig
from lstmcli.data.schema import plain
from lstmcli.data.series import Series, no_symbols
from lstmcli.data.tasks import echo


def draw(seed=0, **task):
    return echo.generate(DataConfig(**task), np.random.default_rng(seed))


def bare(numbers, targets, classes):
    """A series of a stranger."""
    schema = plain(numbers.shape[1], classes)
    return Series(schema, numbers, no_symbols(len(numbers)), targets)
