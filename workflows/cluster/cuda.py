"""One worker process for each GPU of this machine.

A worker's process is started with only its own GPU visible, so it cannot use another, whatever initialises CUDA.
"""

from __future__ import annotations

from typing import Any

from distributed import LocalCluster

from workflows.cluster.gpus import GPU


class CudaCluster(LocalCluster):
    """A LocalCluster with one worker for each GPU of `devices`, which has the resource GPU.

    A worker has two threads: one for GPU tasks, which it takes one at a time, and one for other work beside them.
    All other arguments are LocalCluster's.
    """

    def __init__(self, devices: list[str], **options: Any) -> None:
        self._devices = devices
        super().__init__(n_workers=0, threads_per_worker=2, resources={GPU: 1}, **options)  # type: ignore[no-untyped-call]
        self.scale(len(devices))

    def new_worker_spec(self) -> dict[int, dict[str, Any]]:
        """The next worker's specification, with the next GPU."""
        number = len(self.worker_spec)
        options = self.new_spec["options"]
        environment = {**options.get("env", {}), "CUDA_VISIBLE_DEVICES": self._devices[number]}
        return {number: {**self.new_spec, "options": {**options, "env": environment}}}
