"""A job: its configuration, data set, workspace and progress."""
