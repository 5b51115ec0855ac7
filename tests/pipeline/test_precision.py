"""Detectors in another precision: nearly the same boxes, filed apart and said beside every AP."""

from pathlib import Path

import numpy as np
import pytest
import torch
from wider_folder import Picture, write_data_set

import detectors
from crface.boxes import iou, nms
from pipeline.cache.loading import load_detector
from pipeline.cache.plan import plan_cache
from pipeline.config.sections import CacheConfig
from pipeline.dataset.index import update_index
from pipeline.workspace.layout import Workspace


def _image() -> np.ndarray:
    """Give a picture of gradients, on which the shipped detector is neither sure nor blind."""
    rows, columns = np.mgrid[0:160, 0:224]
    planes = (rows * 255 // 159, columns * 255 // 223, (rows * columns) % 256)
    return np.stack(planes, axis=-1).astype(np.uint8)


def _best(detector: detectors.Detector, image: np.ndarray) -> torch.Tensor:
    found = torch.from_numpy(detector.candidates([image])[0])
    return found[nms(found[:, :4], found[:, 4])[:20]]


def test_boxes_in_bfloat16_stay_close_to_those_in_float32() -> None:
    image = _image()
    exact = _best(load_detector("retinaface-mobilenet0.25", "cpu"), image)
    rough = torch.from_numpy(
        load_detector("retinaface-mobilenet0.25", "cpu", "bfloat16").candidates([image])[0]
    )
    assert rough.dtype == torch.float32
    overlaps, place = iou(exact[:, :4], rough[:, :4]).max(dim=1)
    assert overlaps.min() > 0.8
    assert (rough[place, 4] - exact[:, 4]).abs().max() < 0.1


def test_float32_is_bit_for_bit_what_a_detector_gives_without_a_choice() -> None:
    image = _image()
    plain = detectors.create("retinaface-mobilenet0.25").candidates([image])[0]
    assert np.array_equal(load_detector("retinaface-mobilenet0.25", "cpu").candidates([image])[0], plain)


def test_another_precision_is_filed_apart_and_said_beside_the_size(tmp_path: Path) -> None:
    data = write_data_set(tmp_path / "data", [Picture("0--A", "a", [(1, 1, 8, 9)])])
    workspace = Workspace(tmp_path / "w")
    index = update_index(workspace, data, "val").index
    name = "retinaface-mobilenet0.25"
    plain = plan_cache(workspace, index, name, CacheConfig())
    rough = plan_cache(workspace, index, name, CacheConfig(precision="bfloat16"))
    assert plain.key.fingerprint != rough.key.fingerprint
    assert "precision" not in plain.parts  # what was cached before there was a choice stays valid
    assert (plain.input_size, rough.input_size) == ("original", "original, bfloat16")
    views = plan_cache(workspace, index, name, CacheConfig(precision="bfloat16", protocol="multi")).views
    assert {view.parts["precision"] for view in views} == {"bfloat16"}


def test_a_detector_without_a_precision_to_choose_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"fake_detector:ENTRY .* leave out cache\.precision"):
        load_detector("fake_detector:ENTRY", "cpu", "float16")
