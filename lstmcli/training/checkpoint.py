"""Checkpoints: one `.safetensors` file with all tensors and, as JSON, all that a resume needs.

Reading a checkpoint runs no code. The names and shapes of the tensors are Keras's, with a leading
replica axis.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save

from lstmcli import model_spec
from lstmcli.config import Config
from lstmcli.data.schema import Schema, plain
from lstmcli.utils import files, kinds, memory
from lstmcli.utils.errors import FileError, plural
from lstmcli.utils.files import write_atomically

FORMAT = 1
KEY = "lstmcli"
SLOT = "optimizer."
PROGRESS = "progress."
"""Prefix of the metrics `[windows, R]` of an unfinished epoch. They are not part of the model."""
SEAL = b'"sha256":"'
"""Text before the checksum. No JSON string can contain it, since quotes are escaped there."""
LENGTH = 8  # bytes at the start of a safetensors file that give the length of its header
LONGEST_HEADER = 100_000_000
"""Bytes: the limit of the safetensors format."""
BLOCK = 1 << 20  # bytes read at a time
TYPES: dict[str, tuple[type, ...]] = {
    "version": (str,),
    "kind": (str,),
    "config": (dict,),
    "elapsed_seconds": (int, float),
    "label_counts": (list, NoneType),
    "data_sha256": (list, NoneType),
}
"""The types of metadata fields; `None` if the field may be missing."""


@dataclass(frozen=True)
class Checkpoint:
    """A model at some point of its training.

    Attributes:
        tensors: parameters, `state`, optimizer slots, and `progress.*` for an unfinished epoch.
        metadata: `format`, `version`, `kind` (`last`; or `best`, with each seed at its own best
            epoch, given in `best`), `config`, `seeds`, `data_seeds`, `features`, `classes`,
            `schema`, `label_counts` (of a dataset with classes), `position` (`epoch` and `window`,
            both completed, and `step`; for `best`, the latest position of any seed), `streams`,
            `best`, `elapsed_seconds`, and for a dataset `data_sha256`, the checksums of its parts.
            Paths in the config are relative to the run directory.
    """

    tensors: dict[str, npt.NDArray[np.float32]]
    metadata: dict[str, Any]

    @property
    def config(self) -> Config:
        """The settings that the model was trained with."""
        return Config.build(self.metadata["config"])

    @property
    def seeds(self) -> list[int]:
        """The seed of each replica."""
        return list(self.metadata["seeds"])

    @property
    def best_replica(self) -> int:
        """The replica with the lowest validation loss; the first replica if no loss is known."""
        known = {each["seed"]: each["val_loss"] for each in self.metadata["best"]}
        losses = [known.get(seed) for seed in self.seeds]
        return min(range(len(losses)), key=lambda each: (losses[each] is None, losses[each] or 0))

    @property
    def epochs(self) -> list[int]:
        """The number of completed epochs of each seed's model."""
        if self.metadata["kind"] != "best":
            return [self.metadata["position"]["epoch"]] * len(self.seeds)
        known = {each["seed"]: each["epoch"] for each in self.metadata["best"]}
        return [known.get(seed, 0) for seed in self.seeds]

    @property
    def schema(self) -> Schema:
        """The columns of the data that the model was trained on."""
        if saved := self.metadata.get("schema"):
            return Schema.from_dict(saved)
        return plain(self.metadata["features"], self.metadata["classes"])  # From older versions.

    @property
    def label_counts(self) -> npt.NDArray[np.int64] | None:
        """The number of training steps of each class: `[classes]`; `None` if not saved."""
        counts = self.metadata.get("label_counts")
        return None if counts is None else np.asarray(counts, np.int64)

    def of_seed(self, seed: int) -> Checkpoint:
        """The model of one seed, as if it had been trained alone."""
        at, known = self.seeds.index(seed), self.metadata
        run = known["config"]["run"] | {"seed": seed, "replicas": 1}
        if run.get("data_seed") is not None:
            run["data_seed"] = known["data_seeds"][at]
        own = {name: [known[name][at]] for name in ("seeds", "data_seeds", "best")}
        tensors = {
            name: tensor[at : at + 1]
            for name, tensor in self.tensors.items()
            if not name.startswith(PROGRESS)
        }
        return Checkpoint(tensors, {**known, **own, "config": {**known["config"], "run": run}})

    def write(self, path: Path) -> None:
        """Writes the file atomically, with a checksum of its bytes.

        The checksum is stored in safetensors' own metadata, since the format allows nothing after
        the tensors. A separate field of our metadata says that there is a checksum. So a file that
        is damaged in one of the two places is not mistaken for an older file without a checksum.
        """
        text = json.dumps({**self.metadata, "format": FORMAT, "checksum": "sha256"})
        contiguous = {name: np.ascontiguousarray(array) for name, array in self.tensors.items()}
        content = save(contiguous, {KEY: text, "sha256": files.BLANK_CHECKSUM})
        end = _header_end(content[:LENGTH])
        tensors = memoryview(content)[end:]
        write_atomically(path, files.with_checksum(content[:end], SEAL, [tensors]), tensors)


def read(path: Path, finite: bool = True) -> Checkpoint:
    """Reads a checkpoint file.

    Args:
        path: the file.
        finite: whether to refuse weights that are not finite.

    Raises:
        FileError: the file is missing, damaged or of an unknown format, or its weights are not
            finite.
    """
    if not path.is_file():
        raise FileError(f"there is no checkpoint `{path}`", "`lstmcli train` makes one")
    try:
        is_sealed = _check_seal(path)
        with safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {})[KEY])
            if metadata["format"] != FORMAT:
                raise FileError(
                    f"`{path}` has checkpoint format {metadata['format']}, expected {FORMAT}",
                    "a newer version of lstmcli may read it",
                )
            if is_sealed != ("checksum" in metadata):
                raise ValueError("its checksum is not there")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        checkpoint = Checkpoint(tensors, metadata)
        _check(checkpoint)
        if finite and (strange := diverged(path, checkpoint)):
            raise strange
    except FileError:
        raise
    except Exception as error:  # A hostile file can make its decoders raise anything.
        if wrong := kinds.mismatch(path, kinds.CHECKPOINT):
            raise FileError(wrong, _instead_of(path)) from error
        raise FileError(
            f"`{path}` is not a checkpoint of lstmcli or is damaged: {_why(error)}",
            "the run directory's other checkpoint (`last` or `best`) may be whole",
        ) from error
    return checkpoint


def _instead_of(path: Path) -> str:
    """The hint for a file that is not a checkpoint."""
    if folder := kinds.directory_of(path):
        return f"name the directory that it is in: `{folder}`"
    return "name a run directory, or a `.safetensors` file in its `checkpoints`"


def diverged(path: Path, checkpoint: Checkpoint) -> FileError | None:
    """The error for a checkpoint whose weights are not finite; `None` if they are."""
    names = model_spec.parameters(checkpoint.tensors)
    for replica, seed in enumerate(checkpoint.seeds):
        if not all(np.isfinite(checkpoint.tensors[name][replica]).all() for name in names):
            return FileError(
                f"the weights of seed {seed} in `{path}` are not finite: its training diverged",
                "train it again with a smaller `--learning-rate`, or with `--clip-norm 1`",
            )
    return None


def _check_seal(path: Path) -> bool:
    """Checks the checksum; returns whether there is one. Older files have none.

    Raises:
        FileError: the file is larger than the free memory.
        ValueError: the checksum does not match, or the header is longer than the file or than the
            format allows.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        memory.check_file(path, size)
        length = file.read(LENGTH)
        end = _header_end(length)
        if end - LENGTH > LONGEST_HEADER:
            raise ValueError(
                f"its header should have {end - LENGTH:,} bytes, and the format of safetensors "
                f"allows {LONGEST_HEADER:,}"
            )
        if end > size:
            raise ValueError(f"its header should end at byte {end:,}, and the file has {size:,}")
        header = length + file.read(end - LENGTH)
        is_whole = files.matches_checksum(header, SEAL, iter(lambda: file.read(BLOCK), b""))
    if is_whole is False:
        raise ValueError("its bytes do not match its checksum")
    return is_whole is not None


def _header_end(length: bytes) -> int:
    """The byte at which the header ends, from the first eight bytes of the file."""
    return LENGTH + int.from_bytes(length, "little")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its metadata are nested too deeply"
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def _check(checkpoint: Checkpoint) -> None:
    """Checks what all readers rely on.

    Raises:
        KeyError, TypeError, ValueError, LstmcliError: the metadata is incomplete, or a tensor is
            missing or does not have the type and shape that the config requires.
    """
    _check_metadata(checkpoint.metadata)
    _check_columns(checkpoint)
    expected = _shapes(checkpoint)
    slots = {name for name in checkpoint.tensors if name.startswith(SLOT)}
    if strange := slots - expected.keys():
        raise ValueError(f"`{min(strange)}` belongs to no parameter")
    for name, tensor in checkpoint.tensors.items():
        if tensor.dtype != np.float32:
            raise ValueError(f"`{name}` is of type {tensor.dtype}, expected float32")
    for name, shape in expected.items():
        if name not in checkpoint.tensors:
            raise ValueError(f"it has no tensor `{name}`")
        found = checkpoint.tensors[name].shape
        if found != shape:
            raise ValueError(f"`{name}` is {list(found)}, expected {list(shape)}")


def _check_metadata(metadata: dict[str, Any]) -> None:
    """Checks the types of the metadata that readers use unchecked.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or has the wrong type.
    """
    position = metadata["position"]
    whole = [position["epoch"], position["window"], position["step"]]
    whole += [metadata["features"], metadata["classes"]]
    for each in metadata["best"]:
        whole += [each["seed"], each["epoch"]]
        _check_type("val_loss", each["val_loss"], (float, NoneType))
    for each in (*whole, *metadata["seeds"], *metadata["data_seeds"]):
        _check_type("a whole number", each, (int,))
    for name, types in TYPES.items():
        _check_type(name, metadata.get(name), types)
    if len(metadata["seeds"]) != len(metadata["best"]):
        raise ValueError(f"it has {len(metadata['seeds'])} seeds and {len(metadata['best'])} best")


def _check_columns(checkpoint: Checkpoint) -> None:
    """Checks that the schema, the label counts and the seeds match the model.

    Raises:
        ValueError: they do not.
    """
    metadata, spec = checkpoint.metadata, checkpoint.schema.spec(False, False)
    if (spec.features, spec.outputs) != (metadata["features"], metadata["classes"]):
        raise ValueError("its schema is not that of its model")
    counts = checkpoint.label_counts
    if counts is not None and counts.shape != (metadata["classes"],):
        raise ValueError("its counts of labels are not those of its classes")
    if len(checkpoint.seeds) != checkpoint.config.run.replicas:
        raise ValueError("its seeds are not as many as its config has replicas")


def _check_type(name: str, value: Any, types: tuple[type, ...]) -> None:
    if type(value) not in types:
        raise TypeError(f"expected {name} in its metadata, got {value!r:.50}")


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """The shapes `[R, …]` of the state, the parameters and their optimizer slots.

    Raises:
        ValueError: there are fewer tensors than layers.
    """
    config, metadata = checkpoint.config, checkpoint.metadata
    if config.model.layers > len(checkpoint.tensors):  # Before generating that many names.
        layers = config.model.layers
        raise ValueError(f"it has no tensors for {layers:,} {plural(layers, 'layer')}")
    one = model_spec.shapes(config.model, metadata["features"], metadata["classes"])
    slots = {name.split(".")[1] for name in checkpoint.tensors if name.startswith(SLOT)}
    one |= {f"{SLOT}{slot}.{name}": shape for slot in slots for name, shape in one.items()}
    rows, _ = config.training.rows, config.training.steps  # Both are resolved in a checkpoint.
    one["state"] = model_spec.state_shape(config.model, rows)
    return {name: (len(checkpoint.seeds), *shape) for name, shape in one.items()}
