"""Every detector keeps the promises of `detector_promises.py`: add a new one to the list."""

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


SUBJECTS = [
    Subject(
        name="retinaface-mobilenet0.25",
        create=lambda request: detectors.create("retinaface-mobilenet0.25"),
        sees_faces=True,
    ),
    Subject(name="retinaface-mobilenet0.25 published", create=_published_mobilenet025, sees_faces=True),
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
