"""Divides a sweep among workers, so that they end together and compile few programs twice."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from lstmcli.sweeps.grid import TrialGroup


class Timed(Protocol):
    """What takes a worker some seconds."""

    @property
    def seconds(self) -> float:
        """How many, about."""


T = TypeVar("T", bound=Timed)


@dataclass(frozen=True, eq=False)
class Bundle:
    """Settings that share a program, for one worker."""

    settings: list[TrialGroup]

    @property
    def seconds(self) -> float:
        """About how many they take."""
        return total_seconds(self.settings)


def program(setting: TrialGroup) -> str:
    """What settings have alike that share a compiled program: all but learning rate and seeds.

    As text, whose hash is taken once.
    """
    config = setting.config
    training = replace(config.training, learning_rate=1.0)
    return repr(replace(config, training=training, run=replace(config.run, seed=0, data_seed=None)))


def share(
    settings: Sequence[TrialGroup], workers: int, programs: Mapping[str, str]
) -> list[list[TrialGroup]]:
    """Splits settings among workers so that all are done at about the same time.

    Those that share a program stay together, unless they are more than a worker's part.

    Args:
        settings: what to split.
        workers: how many shares.
        programs: of each setting, by its name.
    """
    alike: dict[str, list[TrialGroup]] = {}
    for setting in settings:
        alike.setdefault(programs[setting.name], []).append(setting)
    part = total_seconds(settings) / max(1, workers)
    bundles = [
        Bundle(piece)
        for each in alike.values()
        for pieces in [math.ceil(0.99 * total_seconds(each) / part)]
        for piece in _balanced(each, min(len(each), pieces))
    ]
    return [
        [each for bundle in own for each in bundle.settings] for own in _balanced(bundles, workers)
    ]


def _balanced(parts: Sequence[T], workers: int) -> list[list[T]]:
    """Splits parts among workers so that all are done at about the same time.

    The largest first, each to whoever has least (Graham 1969); then whoever has most gives one away
    or swaps it for a smaller one, for as long as that helps. Each share is sorted, largest first.
    """
    shares: list[list[T]] = [[] for _ in range(workers)]
    for part in sorted(parts, key=lambda part: -part.seconds):
        min(shares, key=total_seconds).append(part)
    while parts:
        most = max(shares, key=total_seconds)
        longest, mean = total_seconds(most), total_seconds(parts) / workers
        changes = [
            (max(longest - less, load + less), order, given, taken, other)
            for order, other in enumerate(shares)
            if other is not most and longest > 1.01 * mean  # No change could gain more than that.
            for load in [total_seconds(other)]
            for given in most
            for taken in [None, *other]
            for less in [given.seconds - (taken.seconds if taken else 0)]
        ]
        best = min(changes, key=lambda change: change[:2], default=None)
        if best is None or best[0] > 0.99 * longest:
            break
        _, _, given, taken, other = best
        most.remove(given)
        other.append(given)
        if taken is not None:
            other.remove(taken)
            most.append(taken)
    return [sorted(each, key=lambda part: -part.seconds) for each in shares]


def total_seconds(parts: Sequence[Timed]) -> float:
    """How many they take one after the other."""
    return sum(part.seconds for part in parts)


def compiled(
    settings: Sequence[TrialGroup], had: Collection[str], programs: Mapping[str, str]
) -> list[TrialGroup]:
    """The settings whose program is among those that a worker has had."""
    return [each for each in settings if programs[each.name] in had]
