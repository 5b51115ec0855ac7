"""The networks of this package's detectors: trunks with heads and priors, listed by name in `by_name`.

`retinaface` and `hambox` are the networks, `heads` and `priors` their parts, `anchor_network` their interface.
"""
