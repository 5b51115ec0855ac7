"""A data set in WIDER FACE's layout, or a plain folder: its splits, its labels and the index of its images."""
