"""The cache stage: a detector's candidates for every image of a split, block by block, into the store."""
