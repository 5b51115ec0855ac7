"""Candidates that a detector left elsewhere, brought into the same store."""
