"""Programs that are compiled once for all tests of a process."""

import functools
from dataclasses import replace

from lstmcli.config import Config
from lstmcli.core import initialization
from lstmcli.core.runner import Program
from lstmcli.data.datasets import open_source
from lstmcli.utils.rng import Stream, generator


@functools.cache
def kept_program(config, spec):
    """Compiling is what takes the time, and it is the same for every seed."""
    return Program(config, spec, "cpu:0")


def started(make=lambda config, spec: Program(config, spec, "cpu:0"), **settings):
    """A program, its source and its first tensors."""
    data = open_source(Config.build(**{"series_length": 1530, **settings}))
    config = data.config
    program = make(replace(config, run=replace(config.run, seed=0)), data.spec)
    rngs = [generator(seed, Stream.WEIGHTS) for seed in config.run.seeds]
    weights = initialization.initialise(config.model, data.spec.features, data.spec.outputs, rngs)
    return program, data, program.start(weights)
