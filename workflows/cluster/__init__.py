"""Clusters of workers: on this machine, on its GPUs, over SSH, as Slurm jobs, or a running one."""
