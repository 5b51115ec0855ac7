"""Code that runs in or beside a worker process: orderly leaving, replacement, and training."""
