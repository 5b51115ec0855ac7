"""A detector's training: samples, matches, losses and the step."""
