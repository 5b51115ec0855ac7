"""A job as a user asks for it: its data, its workspace, its progress."""
