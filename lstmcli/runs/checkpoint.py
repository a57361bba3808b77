"""Checkpoints: one `.safetensors` file with every tensor and, as JSON, all that a resume needs.

Reading one runs no code. The names and shapes of the tensors are the contract's: Keras's, with a
leading replica axis.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lstmcli import architecture
from lstmcli.columns import Schema, plain
from lstmcli.config import Config
from lstmcli.errors import FileError, LstmcliError
from lstmcli.files import write_atomically

FORMAT = 1
KEY = "lstmcli"
SLOT = "optimizer."


@dataclass(frozen=True)
class Checkpoint:
    """A model as it stood at some moment of its training.

    Attributes:
        tensors: parameters, `state`, optimizer slots, and `progress.*` for an unfinished epoch.
        metadata: `format`, `version`, `kind` (`last`, or `best`: each seed as it was in its own
            epoch, which `best` names), `config`, `seeds`, `data_seeds`, `features`, `classes`,
            `schema` and, of a dataset with classes, `label_counts`,
            `position` (`epoch` and `window`, both completed, and `step`; of a `best`, the newest
            of the seeds'), `streams`, `best`, `elapsed_seconds`, and for a dataset `data_sha256`,
            the checksums of its parts. A path in the config leads from the run directory.
    """

    tensors: dict[str, npt.NDArray[np.float32]]
    metadata: dict[str, Any]

    @property
    def config(self) -> Config:
        """The settings it was trained with."""
        return Config.build(self.metadata["config"])

    @property
    def seeds(self) -> list[int]:
        """The seed of each replica."""
        return list(self.metadata["seeds"])

    @property
    def best_replica(self) -> int:
        """The replica with the lowest validation loss; the first one where none is known."""
        known = {each["seed"]: each["val_loss"] for each in self.metadata["best"]}
        losses = [known.get(seed) for seed in self.seeds]
        return min(range(len(losses)), key=lambda each: (losses[each] is None, losses[each] or 0))

    @property
    def schema(self) -> Schema:
        """What the columns are that it was trained on."""
        if saved := self.metadata.get("schema"):
            return Schema.from_dict(saved)
        return plain(self.metadata["features"], self.metadata["classes"])  # Of an older version.

    @property
    def label_counts(self) -> npt.NDArray[np.int64] | None:
        """How many steps of the training part had each class, where that was kept."""
        counts = self.metadata.get("label_counts")
        return None if counts is None else np.asarray(counts, np.int64)

    def write(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        text = json.dumps({"format": FORMAT, **self.metadata})
        contiguous = {name: np.ascontiguousarray(array) for name, array in self.tensors.items()}
        write_atomically(path, save(contiguous, {KEY: text}))


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint file.

    Raises:
        FileError: it is missing, damaged, or of a format that this version does not know.
    """
    if not path.is_file():
        raise FileError(f"there is no checkpoint `{path}`", "`lstmcli train` makes one")
    try:
        with safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["format"] != FORMAT:
            raise FileError(
                f"`{path}` has checkpoint format {metadata['format']}, expected {FORMAT}",
                "a newer version of lstmcli may read it: `pip install --upgrade lstmcli`",
            )
        checkpoint = Checkpoint(tensors, metadata)
        _check(checkpoint)
    except FileError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, OSError, LstmcliError) as error:
        raise FileError(
            f"`{path}` is not a checkpoint of lstmcli or is damaged: {error}",
            "the run directory's other checkpoint (`last` or `best`) may be whole",
        ) from error
    return checkpoint


def _check(checkpoint: Checkpoint) -> None:
    """Checks what every reader relies on.

    Raises:
        KeyError, TypeError: the metadata are not complete.
        ValueError: a tensor is missing, or is not of the shape that the config asks for.
    """
    for key in ("kind", "position"):
        checkpoint.metadata[key]
    for best in checkpoint.metadata["best"]:
        best["seed"], best["epoch"], best["val_loss"]
    expected = _shapes(checkpoint)
    slots = {name for name in checkpoint.tensors if name.startswith(SLOT)}
    if strange := slots - expected.keys():
        raise ValueError(f"`{min(strange)}` belongs to no parameter")
    for name, shape in expected.items():
        if name not in checkpoint.tensors:
            raise ValueError(f"it has no tensor `{name}`")
        found = checkpoint.tensors[name].shape
        if found != shape:
            raise ValueError(f"`{name}` is {list(found)}, expected {list(shape)}")


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """The shape of the state, and of each parameter and each of its slots: `[R, …]`."""
    config, metadata = checkpoint.config, checkpoint.metadata
    one = architecture.shapes(config.model, metadata["features"], metadata["classes"])
    slots = {name.split(".")[1] for name in checkpoint.tensors if name.startswith(SLOT)}
    one |= {f"{SLOT}{slot}.{name}": shape for slot in slots for name, shape in one.items()}
    one["state"] = architecture.state_shape(config.model, config.training.rows)
    return {name: (len(checkpoint.seeds), *shape) for name, shape in one.items()}
