"""Estimates the memory that training takes, and checks that this machine has it.

The estimate follows from the settings, as measured by `benchmarks/memory.py`.
"""

from __future__ import annotations

import math

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.core import execution
from lstmcli.utils.memory import NUMBER, OF_A_STEP, PROCESS, require

OF_A_PARAMETER, OF_ITS_GRADIENT = 4, 2
"""Copies of each parameter and optimizer slot (previous, current, next and best), and of each
gradient. Each part of a window's rows has one."""
SLOTS = {"sgd": 0, "adagrad": 1, "rmsprop": 1, "adam": 2}
"""Numbers that an optimizer keeps per parameter (`core/optimizers.py`)."""
OF_A_UNIT, OF_A_LAYERS_UNIT = 7, 4
"""Numbers per unit and step that are kept for the gradient (`core/layered.py`) in all layers, and
further ones in the layer that is being computed."""
OF_AN_OUTPUT = 2
"""Numbers per step for each feature and each class; a symbol is one feature per value."""


def check_model(config: Config, features: int, outputs: int) -> None:
    """Checks that training fits into memory.

    Args:
        config: all settings.
        features: size of one step's input.
        outputs: number of classes, or of predicted values.

    Raises:
        UsageError: it does not fit.
    """
    model, training, replicas = config.model, config.training, config.run.replicas
    parameters = model_spec.count(model, features, outputs)
    learnt, window, series = _numbers(config, features, outputs)
    of = f"{replicas:,} models" if replicas > 1 else "a model"
    require(
        f"{of} of {parameters:,} parameters, with windows of {training.rows:,} rows and "
        f"{training.steps:,} steps,",
        NUMBER * (learnt + window + series),
        _smaller(learnt > window, replicas, outputs > _of_units(config)),
    )


def needed(config: Config, features: int, outputs: int) -> int:
    """Approximate peak memory of a run, in bytes; arguments of `check_model`."""
    return PROCESS + NUMBER * sum(_numbers(config, features, outputs))


def _numbers(config: Config, features: int, outputs: int) -> tuple[int, int, int]:
    """Count of numbers for the parameters, for a window and for generated series.

    Replicas take turns in a window, or as many as there are cores compute one at once.
    """
    model, training, replicas = config.model, config.training, config.run.replicas
    parameters = model_spec.count(model, features, outputs)
    state = math.prod(model_spec.state_shape(model, training.rows))
    kept = OF_A_PARAMETER * (parameters * (1 + SLOTS[training.optimizer]) + state)
    each_step = _of_units(config) + OF_AN_OUTPUT * (features + outputs)
    plan = execution.plan(config, features)
    at_once = min(replicas, execution.cores()) if plan.replicas_at_once else 1
    row_parts = min(plan.row_parts, plan.threads or execution.cores())
    gradients = max(at_once * OF_ITS_GRADIENT, row_parts)
    drawn = 0 if config.data.data else OF_A_STEP * config.data.series_length
    return (
        replicas * kept + gradients * parameters,
        at_once * training.rows * training.steps * each_step,
        replicas * drawn,
    )


def _of_units(config: Config) -> int:
    """Numbers of all units per row and step."""
    model = config.model
    return model.state_size * (OF_A_UNIT * model.layers + OF_A_LAYERS_UNIT)


def _smaller(model: bool, replicas: int, classes: bool) -> str:
    """The hint: reduce the model, the windows, or the classes."""
    if classes:
        return "predict fewer classes, or give a smaller `--batch-size` or `--bptt`"
    if not model:
        return "give a smaller `--batch-size` or `--bptt`"
    seeds = "train fewer seeds at once, or " if replicas > 1 else ""
    return f"{seeds}give a smaller `--state-size` or fewer `--layers`"
