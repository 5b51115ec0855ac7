"""One worker process for each GPU of this machine.

Every worker sees its own GPU only, from before its process starts: whatever initialises CUDA, and when, it cannot
take another's.
"""

from __future__ import annotations

from typing import Any

from distributed import LocalCluster

from workflows.cluster.gpus import GPU


class CudaCluster(LocalCluster):
    """A LocalCluster whose workers have the GPUs of `devices`, one each, and the resource GPU.

    A worker has two threads: one for GPU work, of which it takes one task at a time, and one for other work beside
    it. It takes LocalCluster's other arguments.
    """

    def __init__(self, devices: list[str], **options: Any) -> None:
        self._devices = devices
        super().__init__(n_workers=0, threads_per_worker=2, resources={GPU: 1}, **options)  # type: ignore[no-untyped-call]
        self.scale(len(devices))

    def new_worker_spec(self) -> dict[int, dict[str, Any]]:
        """Give the next worker the next GPU."""
        number = len(self.worker_spec)
        options = self.new_spec["options"]
        environment = {**options.get("env", {}), "CUDA_VISIBLE_DEVICES": self._devices[number]}
        return {number: {**self.new_spec, "options": {**options, "env": environment}}}
