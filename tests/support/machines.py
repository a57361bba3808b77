"""Simulated machines with GPUs, by patching what TensorFlow sees."""

from pathlib import Path

from lstmcli.core import execution, gpu
from lstmcli.core.tensorflow import tf


class Machine:
    """A made-up machine: GPUs that are not there, of which `visible` are not hidden, and a CPU."""

    def __init__(self, monkeypatch, gpus, cores):
        self.gpus = self.visible = [f"/physical_device:GPU:{index}" for index in range(gpus)]
        self.started = 0
        cpu = tf.config.list_physical_devices("CPU")
        for name, substitute in {
            "list_physical_devices": lambda kind: self.gpus if kind == "GPU" else cpu,
            "get_visible_devices": lambda kind: self.visible if kind == "GPU" else cpu,
            "set_visible_devices": self.hide,
            "list_logical_devices": self.start,
        }.items():
            monkeypatch.setattr(tf.config, name, substitute)
        monkeypatch.setattr(execution, "cores", lambda: cores)
        details = {"device_name": "NVIDIA Made-Up"}
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)
        monkeypatch.setattr(gpu, "DRIVER", Path("no driver"))

    def hide(self, visible, kind):
        assert (visible, kind) == ([], "GPU")
        self.visible = []

    def start(self):
        self.started += 1
