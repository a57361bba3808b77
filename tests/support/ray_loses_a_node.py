"""Sweeps on a real Ray cluster of two nodes, one of which is killed while it works."""

import json
import sys
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from lstmcli.sweeps import ray_workers
from sweeping import settings


def count_nodes():
    return sum(node["Alive"] for node in ray.nodes())


if __name__ == "__main__":
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False)
    alive = [count_nodes()]
    rows, begun = [], time.monotonic()
    for result in ray_workers.run_ray(settings(), Path(sys.argv[1])):
        if len(alive) == 1 and time.monotonic() - begun > 1.5:
            nodes.remove_node(second, allow_graceful=False)
            while count_nodes() > 1:  # The cluster takes a moment to notice.
                time.sleep(0.2)
            alive.append(count_nodes())
        if result is not None:
            rows += result[1]
    ray.shutdown()  # Before its cluster goes, for which it would look a minute.
    nodes.shutdown()
    print(json.dumps({"nodes": alive, "rows": rows}))
