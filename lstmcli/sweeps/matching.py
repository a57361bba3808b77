"""`--match`: depths that are equal in their parameters, or in their numbers of state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lstmcli import architecture
from lstmcli.architecture import Signature
from lstmcli.config import ModelConfig

if TYPE_CHECKING:
    from lstmcli.sweeps.grid import Setting

NOTED = 0.1
"""How far from its target a size may be before that is said: a part of the target."""
NAMES = {"params": "parameters", "state": "numbers of state"}


def count(match: str, layers: int, state_size: int, signature: Signature) -> int:
    """What a model has of that in which depths are to be equal."""
    if match == "state":
        return layers * 2 * state_size  # c and h.
    model = ModelConfig(layers=layers, state_size=state_size)
    return architecture.count(model, signature.features, signature.outputs)


def nearest(match: str, base: ModelConfig, layers: int, signature: Signature) -> int:
    """The state size with which a depth comes closest to what `base` has.

    No larger one than looked at does, as a layer of all of `base`'s units has more than it.
    """
    target = count(match, base.layers, base.state_size, signature)
    sizes = range(1, base.layers * base.state_size + 2)
    return min(sizes, key=lambda size: abs(count(match, layers, size, signature) - target))


def notes(match: str, base: ModelConfig, settings: Iterable[Setting]) -> list[str]:
    """What the sizes of settings were chosen by, what they came to, and which are far from it."""
    targets: dict[int, dict[str, int]] = {}
    for setting in settings:
        model, signature = setting.config.model, setting.signature
        target = count(match, base.layers, base.state_size, signature)
        own = count(match, model.layers, model.state_size, signature)
        targets.setdefault(target, {})[f"{model.layers}x{model.state_size}"] = own
    found = [_note(match, base, *each) for each in targets.items()]
    return found + [note for each in targets.items() if (note := _far(match, *each))]


def _note(match: str, base: ModelConfig, target: int, counts: Mapping[str, int]) -> str:
    layers = f"{base.layers} layer{'s' if base.layers > 1 else ''}"
    units = f"{base.state_size} unit{'s' if base.state_size > 1 else ''}"
    listed = ", ".join(f"{name} has {own:,}" for name, own in counts.items())
    return (
        f"`--match {match}` takes the state sizes that come closest to {target:,} {NAMES[match]}, "
        f"those of {layers} of {units}: {listed}"
    )


def _far(match: str, target: int, counts: Mapping[str, int]) -> str:
    """Which are more than a tenth off; empty where none is."""
    far = [
        f"{name} has {100 * abs(own / target - 1):.0f} % {'more' if own > target else 'fewer'}"
        for name, own in counts.items()
        if abs(own / target - 1) > NOTED
    ]
    if not far:
        return ""
    return (
        f"no state size comes nearer to {target:,} {NAMES[match]}: {', '.join(far)}; a larger "
        "`--state-size` leaves less of a difference"
    )
