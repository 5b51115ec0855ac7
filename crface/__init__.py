"""The science of the paper, tensors in and tensors out: boxes, oracle confidence, losses, the ranker, WIDER FACE AP."""
