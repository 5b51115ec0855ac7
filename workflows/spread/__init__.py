"""Blocks spread over a cluster: which are in flight, what is set aside, and what is said of it."""
