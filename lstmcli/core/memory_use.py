"""What training a model takes of this machine's memory, refused where it is more than there is.

It is counted from the settings, as `benchmarks/memory.py` has measured it.
"""

from __future__ import annotations

import math

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.utils.memory import NUMBER, OF_A_STEP, PROCESS, require

OF_A_PARAMETER, OF_ITS_GRADIENT = 4, 2
"""Copies of a parameter, and of each of its optimizer's slots: as it was, as it is, as it becomes,
and as it was at its best; and of its gradient."""
SLOTS = {"sgd": 0, "adagrad": 1, "rmsprop": 1, "adam": 2}
"""Numbers that an optimizer keeps for each parameter (`core/optimizers.py`)."""
OF_A_UNIT, OF_A_LAYERS_UNIT = 7, 4
"""Numbers that a step of a unit leaves for its gradient (`core/layered.py`), in all layers; and
those that it has besides in the layer that is at work."""
OF_AN_OUTPUT = 2
"""Numbers for each feature and each class of a step; a symbol becomes as many features."""


def check_model(config: Config, features: int, outputs: int) -> None:
    """Refuses a model that cannot be trained.

    Args:
        config: all settings.
        features: numbers in one step's input.
        outputs: classes, or numbers that are predicted.

    Raises:
        UsageError: it does not fit into memory.
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
    """Bytes that a run takes at its peak, about; arguments as `check_model` has them."""
    return PROCESS + NUMBER * sum(_numbers(config, features, outputs))


def _numbers(config: Config, features: int, outputs: int) -> tuple[int, int, int]:
    """Numbers of what is learnt, of a window and of series that are drawn.

    Replicas go through a window one after the other.
    """
    model, training, replicas = config.model, config.training, config.run.replicas
    parameters = model_spec.count(model, features, outputs)
    state = math.prod(model_spec.state_shape(model, training.rows))
    kept = OF_A_PARAMETER * (parameters * (1 + SLOTS[training.optimizer]) + state)
    each_step = _of_units(config) + OF_AN_OUTPUT * (features + outputs)
    drawn = 0 if config.data.data else OF_A_STEP * config.data.series_length
    return (
        replicas * kept + OF_ITS_GRADIENT * parameters,
        training.rows * training.steps * each_step,
        replicas * drawn,
    )


def _of_units(config: Config) -> int:
    """Numbers of all units in a step of a row."""
    model = config.model
    return model.state_size * (OF_A_UNIT * model.layers + OF_A_LAYERS_UNIT)


def _smaller(model: bool, replicas: int, classes: bool) -> str:
    """What to ask less of: of the model, of the windows, or of the classes."""
    if classes:
        return "predict fewer classes, or give a smaller `--batch-size` or `--bptt`"
    if not model:
        return "give a smaller `--batch-size` or `--bptt`"
    seeds = "train fewer seeds at once, or " if replicas > 1 else ""
    return f"{seeds}give a smaller `--state-size` or fewer `--layers`"
