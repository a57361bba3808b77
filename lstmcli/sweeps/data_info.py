"""A setting's data: its facts, the unit of its losses, and its checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lstmcli.config import Config, DataConfig
from lstmcli.data.baselines import Baselines
from lstmcli.data.batching import ContiguousWindows
from lstmcli.data.datasets import Source, floor_of
from lstmcli.data.schema import Categorical
from lstmcli.data.target import ClassTarget, Target
from lstmcli.data.tasks.echo import check_learnable
from lstmcli.model_spec import ModelSpec
from lstmcli.training import estimate
from lstmcli.training.estimate import DataFacts
from lstmcli.utils.errors import FileError, UsageError

NATS: Target = ClassTarget((Categorical("target", 2),))
"""A target whose losses are in nats."""


@dataclass(frozen=True)
class DataInfo:
    """A setting's data.

    Attributes:
        spec: what a program has to be compiled for.
        facts: labels, windows, chance and baselines.
        unit: the target, which knows what losses are in.
        baseline: the chance loss, which with the Bayes loss says what counts as solved; `None`
            where the Bayes loss is not known.
        digest: of a dataset's parts and of what its columns are; `None` for series that are drawn.
        baselines: of a dataset's parts, by what a source knows them by.
    """

    spec: ModelSpec
    facts: DataFacts
    unit: Target = NATS
    baseline: float | None = None
    digest: str | None = None
    baselines: Mapping[tuple[str, int, int], Baselines] = field(default_factory=dict, compare=False)


def data_info(source: Source) -> DataInfo:
    """What there is to know of a source.

    Raises:
        UsageError: there is nothing to learn, or `until_solved` has no effect.
    """
    if source.example.task.get("name") == "echo" and isinstance(source.cut, ContiguousWindows):
        check_learnable(source.example.task, source.cut)
    if source.splits and not len(source.splits.test):
        raise UsageError(
            "a sweep compares its trials on the test part, and `--test-fraction 0` holds none out",
            "pass a larger `--test-fraction`, or `--test-data FILE`",
        )
    if source.config.training.until_solved:
        source.check_floor_known()
    floor = floor_of(source.training(0)[0])
    _ = source.baselines_of_test_part  # Once for all trials.
    return DataInfo(
        source.spec,
        estimate.of_data(source, floor, source.validation_baselines.found),
        source.schema.target_kind,
        floor.chance if floor else None,
        digest(source),
        source.known_baselines,
    )


def digest(source: Source) -> str | None:
    """SHA-256 of all that a dataset gives a model, whatever its files are called.

    A linear autoregression is left out: it follows from the data, up to its last bits.
    """
    if source.file_checksums is None:
        return None
    known = [source.file_checksums, replace(source.schema, autoregression=None).to_dict()]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def identity(config: Config, digest: str | None, weights: str | None) -> dict[str, dict[str, Any]]:
    """The settings that a result depends on but for seeds, by group; files by their contents.

    Args:
        config: all settings, resolved.
        digest: of the dataset, in place of the paths of its files.
        weights: the checksum of the checkpoint to begin with, in place of its path.
    """
    tables = config.to_dict()
    tables["training"].pop("checkpoint_every")
    data = tables["data"]
    for name in ("data", "val_data", "test_data", "labels"):
        data.pop(name, None)
    if digest is not None:
        data["data"] = digest
    else:
        data["val_fraction"] = DataConfig.val_fraction  # As before sweeps knew files.
    if length := config.data.resolved_sequence_length:
        data["sequence_length"] = length
    if weights is not None:
        tables["training"]["init_from"] = weights
    return tables


def check_unchanged(source: Source, expected: str | None) -> None:
    """Raises FileError where a dataset is not what it was when the sweep was planned."""
    if digest(source) != expected:
        raise FileError(
            f"`{source.config.data.data}` has changed since the sweep began",
            "the same command again begins a new sweep on the file as it is now",
        )
