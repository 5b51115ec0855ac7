"""Blocks: runs of consecutive rows that one task computes, writes as one shard and enters in a ledger.

`plan` decides which blocks to compute, `commit` carries one out, `store` and `arrays` are the Zarr files,
`ledger` records what is finished and `set_aside` what failed too often. Every stage that fills a store uses it.
"""
