"""Clusters of workers: on this machine, on its GPUs, by SSH, as Slurm jobs, or one that runs already."""
