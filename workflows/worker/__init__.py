"""What runs in a worker process: leaving in order, being replaced, and what runs beside it."""
