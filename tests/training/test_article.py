"""The article's experiment: the curves lie where its own script's lie.

`article_curves.csv` holds losses measured by running the article's script on TensorFlow 0.12.1, the
release of its time: mean loss of epochs, two seeds for each depth. The random streams differ, so
distributions are compared: over eight seeds here, both of the script's seeds must look like draws.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import Config
from lstmcli.training import run_dir, trainer

SCRIPT = pd.read_csv(Path(__file__).parents[1] / "article_curves.csv")
SEEDS = 8


def train(directory, **settings):
    """The mean loss of each epoch (rows) and seed (columns)."""
    run = trainer.prepare(
        Config.build(replicas=SEEDS, checkpoint_every="1000", **settings),
        run_dir.create(directory, "", overwrite=False),
    )
    for _ in trainer.train(run):
        pass
    return pd.read_csv(run.directory.metrics).pivot_table("loss", "epoch", "seed")


@pytest.fixture(scope="session")
def three_layers(tmp_path_factory):
    return train(tmp_path_factory.mktemp("article") / "three", layers=3, epochs=100)


@pytest.fixture(scope="session")
def one_layer(tmp_path_factory):
    return train(tmp_path_factory.mktemp("article") / "one", layers=1, epochs=12)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("epoch", [1, 2, 4, 8, 12])
def test_losses_are_distributed_as_the_articles_script_has_them(layers, epoch, request):
    ours = request.getfixturevalue({1: "one_layer", 3: "three_layers"}[layers]).loc[epoch]
    chosen = SCRIPT[(SCRIPT.layers == layers) & (SCRIPT.epoch == epoch)]
    logs = np.log(ours)
    # A prediction interval of 99.9 % for a further draw from eight, log-normal: t(7) = 5.41.
    reach = 5.41 * logs.std(ddof=1) * np.sqrt(1 + 1 / SEEDS)
    assert len(chosen) == 2
    for loss in chosen.mean_loss:
        assert abs(np.log(loss) - logs.mean()) < reach
    # And the spread is no wider than a few seeds make it: the interval says something.
    assert np.exp(logs.std(ddof=1)) < 4


@pytest.mark.slow
def test_three_layers_end_below_twice_the_floor(three_layers):
    floor = 15 * -(0.4 * np.log(0.4) + 0.6 * np.log(0.6)) / (666 * 75)
    assert three_layers.loc[91:100].median(axis=None) < 2 * floor
