"""The training stages: a ranker from cached candidates, and a detector from labelled images."""
