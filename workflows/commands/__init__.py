"""What each `crface` command does: one module per command, with its name."""
