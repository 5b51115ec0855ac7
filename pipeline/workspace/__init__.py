"""A workspace folder: where everything in it lies, who may write to it, and how files are written whole.

`place` makes local folders and URLs look alike; `fingerprint` names a piece of work by what decides it; `tables`
are results as Parquet files. Every stage uses it.
"""
