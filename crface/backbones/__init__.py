"""Trunks shared by detectors and rankers: an image batch in, feature maps at increasing strides out."""

from crface.backbones.hrnet import HRNet, hrnet
from crface.backbones.mobilenet_v1 import MobileNetV1, mobilenet_v1
from crface.backbones.pretrained import load_imagenet
from crface.backbones.resnet import ResNet, resnet, resnet50

Trunk = MobileNetV1 | ResNet | HRNet
"""Any of them: a module whose `channels` are the depths of the maps it gives."""

__all__ = [
    "HRNet",
    "MobileNetV1",
    "ResNet",
    "Trunk",
    "hrnet",
    "load_imagenet",
    "mobilenet_v1",
    "resnet",
    "resnet50",
]
