"""The cache stage: a detector's candidates for every image of a split, stored block by block.

`plan` decides which blocks are missing (in the driver, without torch or a detector); `work` computes one block
(in a worker). `protocols` presents images to a detector, and `fuse` merges the candidates of several views.
Used by `crface cache`; every later stage reads what it stores.
"""
