"""A sweep on files that no node of a real Ray cluster has; the node that trains is lost."""

import json
import os
import sys
import time
from pathlib import Path

import ray
from ray._private.internal_api import memory_summary
from ray.cluster_utils import Cluster

from lstmcli import api
from lstmcli.sweeps import plan as plans
from lstmcli.sweeps import ray_cluster, ray_workers
from lstmcli.training import checkpoint as checkpoints
from lstmcli.training.run_dir import RunDirectory


def add_node(nodes, name, cpus):
    """A node whose processes stand in a folder of their own."""
    here, folder = Path.cwd(), Path(name)
    folder.mkdir()
    os.chdir(folder)
    try:
        return nodes.add_node(num_cpus=cpus)
    finally:
        os.chdir(here)


def given_away(value, usual=ray.put):
    """As `ray.put`; from then on nobody finds the files any more."""
    puts.append(usual(value))
    Path("files").rename("gone")
    return puts[-1]


def copies():
    """On how many nodes each object lies that was put."""
    return [len(each["node_ids"]) for each in ray.experimental.get_object_locations(puts).values()]


def objects(seconds=20):
    """How many objects all nodes hold, once they have deleted what nobody refers to any more."""
    deadline = time.monotonic() + seconds
    while True:
        summary = memory_summary(stats_only=True)
        count = int(summary.partition("Plasma memory usage")[2].split()[2])
        if not count or time.monotonic() > deadline:
            return count
        time.sleep(0.5)


def epochs(place):
    """How many are in the checkpoint that has come back from a task."""
    known = place.last.exists() and checkpoints.read(place.last).metadata
    return known["position"]["epoch"] if known else 0


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    plans.CHECKPOINTS = "1s"
    settings = api.plan_of(json.loads(sys.argv[2])).settings
    nodes = Cluster()
    add_node(nodes, "driver", 0)
    training = add_node(nodes, "lost", len(settings))
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False)
    ray_cluster.check_nodes(ray)
    puts, ray.put, rows, found = [], given_away, [], None
    places = [RunDirectory(Path("trials") / each.name) for each in settings]
    for result in ray_workers.run_ray(settings, Path("trials")):
        if result is not None:
            rows += result[1]
        elif found is None and all(map(epochs, places)):
            found = copies()
            nodes.remove_node(training, allow_graceful=False)
            add_node(nodes, "other", len(settings))
    puts.clear()
    print(json.dumps({"rows": rows, "copies": found, "left": objects()}))
    ray.shutdown()  # Before its cluster goes, for which it would look a minute.
    nodes.shutdown()
