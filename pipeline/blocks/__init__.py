"""Blocks: runs of rows that one task computes, writes as one shard and enters into a ledger."""
