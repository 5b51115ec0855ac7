"""How stages are spread: Dask clusters, bounded submission, progress, and the `crface` command line."""
