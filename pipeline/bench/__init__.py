"""Benchmarks of the pipeline's parts, behind crface bench."""
