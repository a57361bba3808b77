"""`lstmcli devices`: what `--device` can name on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lstmcli.cli.options import Json
from lstmcli.cli.output import print_json

if TYPE_CHECKING:
    from lstmcli.cli.json_results import DevicesResult


def devices(as_json: Json = False) -> None:
    """List the devices of this machine, as --device names them."""
    from lstmcli.core import device

    found, chosen = device.available(), device.resolve("auto")
    if as_json:
        result: DevicesResult = {"devices": found, "auto": chosen}
        print_json(result)
        return
    small, large = device.resolve("cpu"), chosen
    taken = {small: "auto, for small models", large: "auto, for larger ones"}
    told = taken if small != large else {chosen: "auto"}
    for name in found:
        typer.echo(f"{name}  ({told[name]})" if name in told else name)
