"""A ranker's training: what a step looks at, and the step, in one process or several."""
