"""Results as text, with the data's own names and units."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmcli.utils.files import shown
from lstmcli.utils.terminal import ascii_only, escape_unprintable

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from lstmcli.config import DataConfig
    from lstmcli.data.baselines import Baseline
    from lstmcli.data.schema import Categorical, Schema

WIDEST = 24
"""Characters of a name that are shown."""
NAMED = 5
"""Values of a column, and columns, that are named in a sentence."""


def name(text: str, quoted: bool = False) -> str:
    """The name of a column or a class, to be shown: escaped, shortened, and never empty.

    Args:
        text: as the file has it.
        quoted: whether it is put in quotes, as characters of a text are.
    """
    shown = escape_unprintable(text)
    if ascii_only(sys.stdout):
        shown = shown.encode("ascii", "backslashreplace").decode()
    if len(shown) > WIDEST:
        shown = f"{shown[: WIDEST - 3]}..."
    if quoted or text != text.strip() or not text:
        mark = '"' if "'" in shown else "'"
        return f"{mark}{shown}{mark}"
    return shown


def value(schema: Schema, column: Categorical, number: int) -> str:
    """The name of a value of a column, to be shown; characters of a text stand in quotes."""
    known = 0 <= number < column.size
    return name(column.label(number), quoted=known and schema.target_kind.quoted)


def values(schema: Schema, column: Categorical) -> str:
    """The first values of a column: `0, 1, 2, 3, 4 and 19 others`."""
    shown = ", ".join(value(schema, column, each) for each in range(min(column.size, NAMED)))
    return f"{shown} and {column.size - NAMED:,} others" if column.size > NAMED else shown


def target(schema: Schema) -> str:
    """The target's name, or the first ones of several."""
    names = list(dict.fromkeys(column.name for column in schema.targets))
    shown = ", ".join(map(name, names[:NAMED]))
    more = len(names) - NAMED
    shown = f"{shown} and {more:,} others" if more > 0 else shown
    leads = [column.lead for column in schema.numeric_targets if column.lead is not None]
    return f"{shown}, {leads[0]} to {leads[-1]} steps ahead" if leads else shown


def baseline_loss(schema: Schema, known: Baseline) -> str:
    """A baseline's loss, as `loss` writes it, with the mean absolute error for a number."""
    shown, error = loss(schema, known.loss), schema.target_kind.in_units(known.mae)
    return shown if error is None else f"{shown.removesuffix(')')}, mae {error:.3g})"


def baseline_figures(schema: Schema, known: Baseline) -> dict[str, str]:
    """A baseline's row of figures by their headings."""
    target = schema.target_kind
    return target.figures(known.loss, known.accuracy, target.in_units(known.mae))


def loss(schema: Schema, nats: float) -> str:
    """A loss, with bits per character for a text, or an RMSE in the units of a number."""
    target, text = schema.target_kind, f"{nats:.3g}"
    familiar = target.familiar(nats)
    return text if familiar is None else f"{text} ({target.short.format(familiar)})"


def display_unit(schema: Schema) -> tuple[str, Callable[[Any], Any]]:
    """The usual unit of losses, for an axis, and the conversion to it.

    Bits per character for a text, the target's units for one number; otherwise the loss's own.
    """
    target = schema.target_kind
    if target.familiar(1.0) is None:
        return target.loss_unit, lambda nats: nats
    from lstmcli.reporting.figures import style

    return target.axis.format(style.shown(target.columns[0].name, 18)), target.familiar


def task(data: DataConfig, swept: Sequence[str] = ()) -> str:
    """What is learned, in a few words; a swept echo step has no number."""
    if data.data is not None:
        return f"on {shown(Path(data.data))}"
    if data.task != "echo" or "echo_step" in swept:
        return data.task
    return f"echo after {data.echo_step} steps"


def best_unbeaten_baseline(loss: float | None, baselines: Sequence[Baseline]) -> Baseline | None:
    """The best baseline, if a loss on the same steps is not below it."""
    if not baselines:
        return None
    best = min(baselines, key=lambda each: each.loss)
    return None if loss is not None and loss < best.loss else best


def beyond_its_base(
    schema: Schema, seed: int, loss: float | None, baselines: Sequence[Baseline]
) -> str | None:
    """How much a network improves on its linear autoregression; `None` if it has none."""
    bases = [each.loss for each in baselines if each.name == "linear autoregression"]
    if schema.autoregression is None or loss is None or not bases or not bases[0]:
        return None
    gain = 1 - math.sqrt(loss / bases[0])
    changes = "lowers" if gain > 0 else "raises"
    by = f"{100 * abs(gain):.1f} %"
    return f"seed {seed}: the network {changes} the rmse of its linear autoregression by {by}"


def does_not_beat(seed: int, found: float | None, name: str, best: float) -> str:
    """Says that a seed's lowest validation loss is not below a baseline's."""
    shown = "none" if found is None else f"{found:.3g}"
    return (
        f"seed {seed} does not beat the baseline `{name}`: its best validation loss is {shown} "
        f"against {best:.3g}"
    )


def outcome(schema: Schema, row: Mapping[str, Any]) -> str:
    """A seed's last row as text: `training loss 0.012, accuracy 0.99812, validation loss 0.011`.

    Each loss is followed by the Bayes loss of its own part, if that is known.

    Args:
        schema: of the model's columns.
        row: of `metrics.csv`, by column; `None` is an unmeasured cell.
    """
    excess, val_loss = row.get("val_gap"), row["val_loss"]
    measured = {
        "training loss": _beside_bayes(schema, row["loss"], row["bayes_loss"]),
        "accuracy": None if row["accuracy"] is None else f"{row['accuracy']:.5f}",
        "validation loss": _beside_bayes(
            schema, val_loss, None if val_loss is None or excess is None else val_loss - excess
        ),
    }
    return ", ".join(f"{name} {text}" for name, text in measured.items() if text is not None)


def _beside_bayes(schema: Schema, measured: float | None, best: float | None) -> str:
    """A loss and, where it is known, the Bayes loss of what it was measured on."""
    if measured is None:
        return "-"
    shown = loss(schema, measured)
    return shown if best is None else f"{shown} (Bayes loss {best:.3g})"


MOST_OUTPUT_ROWS = 24
"""The most targets that have a row on the screen; of more, evenly spaced horizons do."""
OUTPUT_KEYS = ["target", "ahead"]
"""The columns that identify a target."""


def beside_baselines(errors: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row for each target: the errors of a seed's model, and of the best baseline.

    Args:
        errors: the columns of `data.outputs.table`.
        seed: the model's.

    Returns:
        The columns of `errors`, and `baseline`, `baseline_rmse` and `baseline_mae`.
    """
    own, others = errors[errors.seed == seed], errors[errors.seed.isna()]
    known = others[others.loss.notna()]
    best = known.loc[known.groupby(OUTPUT_KEYS, sort=False).loss.idxmin()]
    named = {"predictor": "baseline", "rmse": "baseline_rmse", "mae": "baseline_mae"}
    best = best[[*OUTPUT_KEYS, *named]].rename(columns=named)
    return own.merge(best, on=OUTPUT_KEYS, how="left")


def outputs_table(
    rows: pd.DataFrame, most: int = MOST_OUTPUT_ROWS
) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table of `beside_baselines`, for at most `most` targets."""
    leads, targets = rows.ahead.unique(), rows.target.nunique()
    if len(rows) > most:
        rows = rows[rows.ahead.isin(_spread(leads, max(2, most // targets)))]
    cells = [
        [
            name(str(row.target)),
            str(row.ahead),
            _figure(row.rmse),
            _figure(row.mae),
            row.baseline if isinstance(row.baseline, str) else "-",
            _figure(row.baseline_rmse),
            _figure(row.baseline_mae),
        ]
        for row in rows.itertuples()
    ]
    headings = ["target", "ahead", "rmse", "mae", "best baseline", "its rmse", "its mae"]
    return headings, cells


def unbeaten_outputs(rows: pd.DataFrame) -> str | None:
    """Says for how many targets a baseline is as good as the model; `None` for none."""
    count = int((rows.baseline_rmse <= rows.rmse).sum())
    if not count:
        return None
    return f"for {count} of {len(rows)} targets a baseline is as good or better"


def said_of_rows_left_out(
    rows: Sequence[object], all_rows: Sequence[object], where: str
) -> str | None:
    """Says that not all targets have a row; `None` if all have."""
    if len(rows) == len(all_rows):
        return None
    return f"{len(rows)} of {len(all_rows)} are shown; all are in {where}"


def _spread(leads: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Evenly spaced elements, with the first and the last."""
    import numpy as np

    places = np.linspace(0, len(leads) - 1, min(count, len(leads)))
    return np.asarray(leads[np.unique(places.round().astype(int))])


def _figure(value: float) -> str:
    return "-" if value != value else f"{value:.6g}"
