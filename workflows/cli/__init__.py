"""The `crface` command line: a command parses, calls a stage, reports; it computes nothing itself."""
