"""The file in which `lstmcli predict --state` keeps a stream's state from one call to the next.

It is a safetensors file, so no code runs when it is read. It has the checksum of its model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save

from lstmcli import model_spec
from lstmcli.inference.steps import Carried, StepModel
from lstmcli.training.checkpoint import Checkpoint
from lstmcli.utils import kinds
from lstmcli.utils.errors import FileError, shell_quote
from lstmcli.utils.files import write_atomically

FORMAT = 1
KEY = "lstmcli_stream"
Arrays = dict[str, npt.NDArray[Any]]


def model_checksum(model: Checkpoint, seeds: Sequence[int]) -> str:
    """SHA-256 of the parameters and of the columns of some seeds' networks, in hexadecimal."""
    digest = hashlib.sha256(json.dumps([model.schema.to_dict(), list(seeds)]).encode())
    replicas = [model.seeds.index(seed) for seed in seeds]
    for name in sorted(model_spec.parameters(model.tensors)):
        digest.update(np.ascontiguousarray(model.tensors[name][replicas], "<f4").data)
    return digest.hexdigest()


def write(path: Path, checksum: str, known: dict[str, Any], sequences: dict[str, Carried]) -> None:
    """Writes the file, whole or not at all.

    Args:
        path: the file.
        checksum: the model's.
        known: what else the stream carries, as JSON.
        sequences: what each sequence carries, by its key.

    Raises:
        OSError: it cannot be written.
    """
    arrays = _to_arrays(list(sequences.values())) if sequences else {}
    about = {
        "format": FORMAT,
        "model": checksum,
        "sequences": list(sequences),
        "arrays": _checksum(arrays),
        **known,
    }
    write_atomically(path, save(arrays, {KEY: json.dumps(about)}))


def read(path: Path, checksum: str, model: StepModel) -> tuple[dict[str, Any], dict[str, Carried]]:
    """What a stream carries, and what each of its sequences does, by key.

    Args:
        path: the file.
        checksum: the model's.
        model: that goes on.

    Raises:
        FileError: it is none, is damaged, or is that of another model.
    """
    try:
        with safe_open(path, framework="np") as file:
            known = json.loads((file.metadata() or {})[KEY])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if known["format"] != FORMAT:
            raise FileError(
                f"`{path}` has state format {known['format']}, expected {FORMAT}",
                "a newer version of lstmcli may read it",
            )
        if known["model"] != checksum:
            raise FileError(
                f"`{path}` holds the state of another model, or of other seeds",
                "name another file with `--state`, or start over: "
                f"`rm {shell_quote(path)}`; a model that was trained further is another one",
            )
        if known["arrays"] != _checksum(arrays):
            raise ValueError("its arrays do not match their checksum")
        keys = [str(key) for key in known["sequences"]]
        found = _from_arrays(arrays, model, len(keys)) if keys else []
        return known, dict(zip(keys, found, strict=True))
    except FileError:
        raise
    except Exception as error:  # A hostile file makes its decoders raise whatever they do.
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        wrong = kinds.mismatch(path, "a state of `lstmcli predict`", kinds.CHECKPOINT)
        raise FileError(
            wrong or f"`{path}` holds no state of `lstmcli predict`, or is damaged: {why}",
            "name another file with `--state`: a new one is created",
        ) from error


def _to_arrays(carried: Sequence[Carried]) -> Arrays:
    """What sequences carry, side by side: `[sequences, …]` each."""
    first = carried[0]
    found: Arrays = {
        f"state.{place}": np.stack([each.states[place] for each in carried])
        for place in range(len(first.states))
    }
    found |= {
        "numbers": np.array([each.numbers for each in carried], np.float64),
        "symbols": np.array([each.symbols for each in carried], np.int64),
        "targets": np.array([each.targets for each in carried], np.float64),
        "index": np.array([np.nan if each.index is None else each.index for each in carried]),
    }
    if first.past is not None:
        found["past"] = np.stack([each.past for each in carried if each.past is not None])
    return found


def _from_arrays(arrays: Arrays, model: StepModel, count: int) -> list[Carried]:
    """The inverse.

    Raises:
        KeyError, ValueError: they are not those of so many sequences of the model.
    """
    carried = []
    for place in range(count):
        begun = model.begin()
        for number, state in enumerate(begun.states):
            state[...] = arrays[f"state.{number}"][place]
        index = float(arrays["index"][place])
        carried.append(
            Carried(
                begun.states,
                arrays["past"][place].copy() if "past" in arrays else None,
                arrays["numbers"][place].tolist(),
                arrays["symbols"][place].tolist(),
                arrays["targets"][place].tolist(),
                None if np.isnan(index) else index,
            )
        )
    return carried


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
