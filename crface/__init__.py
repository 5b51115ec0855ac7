"""The science of the paper: boxes, oracle confidence, pairs and losses, the ranker, WIDER FACE AP; tensors in, tensors out."""
