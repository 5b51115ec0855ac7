"""The configuration of a run: its sections, and the files that they are read from."""
