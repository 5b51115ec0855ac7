"""Trunks shared by detectors and rankers: an image batch in, feature maps at increasing strides out."""

from crface.backbones.mobilenet_v1 import MobileNetV1, mobilenet_v1

__all__ = ["MobileNetV1", "mobilenet_v1"]
