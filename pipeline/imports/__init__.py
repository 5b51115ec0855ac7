"""Candidates of detectors that ran elsewhere, in the same store as those computed here."""
