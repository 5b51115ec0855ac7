"""A data set in WIDER FACE's layout, or a plain folder: its splits, its labels and the index of its images.

`splits` and `annotations` read what is there, `index` gives every image a row number that never changes. Every
stage reads images and labels through the index.
"""
