"""The README's Python does what it says: its very text is run."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from places import ROOT

from crface import ranker

README = ROOT / "README.md"


def test_the_five_lines_of_python_refine_the_confidences_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = re.findall(r"^### From Python\n\n```python\n(.*?)^```$", README.read_text(), re.M | re.S)
    torch.manual_seed(0)
    made = ranker.create("small", num_candidates=12, image_side_px=64)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    folder = tmp_path / "runs" / "demo" / "rankers" / "0123456789abcdef"
    folder.mkdir(parents=True)
    ranker.save(made, folder / "ranker.safetensors")
    monkeypatch.chdir(tmp_path)  # the file has the path that the text has, but for its fingerprint
    random = np.random.default_rng(0)
    corners = random.uniform(0, 30, (7, 2))
    names = {
        "image": random.integers(0, 255, (48, 64, 3), dtype=np.uint8),
        "candidates": np.concatenate(
            [corners, corners + 9, np.sort(random.uniform(0, 1, (7, 1)), axis=0)[::-1]], axis=1
        ).astype(np.float32),
    }
    exec(compile(text.replace("<fingerprint>", folder.name), str(README), "exec"), names)
    refined = names["confidences"]
    assert (refined.dtype, refined.shape) == (np.float32, (7,))
    np.testing.assert_array_equal(refined, made.refine(names["image"], names["candidates"]))
    assert not np.array_equal(refined, names["candidates"][:, 4])
