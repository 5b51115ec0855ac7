"""The networks of this package: trunks with heads and priors, by the names of their detectors."""
