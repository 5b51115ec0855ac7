"""Files that are not what their names say: each is named for what it is, wherever weights are read."""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save

from crface import ranker
from crface.backbones import load_imagenet, mobilenet_v1
from crface.file_kind import file_kind
from crface.weights import load_state

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 1789735\n"
STATE = {"weight": torch.zeros(3)}


def _torch_bytes(legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def _onnx_bytes() -> bytes:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", values[:1], values[1:])
    content: bytes = helper.make_model(graph).SerializeToString()
    return content


def _zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights/model.pth", b"x")
    return buffer.getvalue()


def _tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"), io.BytesIO())
    return buffer.getvalue()


def _npy_bytes() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


FOREIGN = {
    "empty": (b"", "is empty"),
    "lfs": (LFS, "a Git LFS pointer.*git lfs pull"),
    "page": (b"\n<!DOCTYPE html>\n<html lang=en>", "a web page.*download the file itself"),
    "page in capitals": (b"<HTML><HEAD><TITLE>404</TITLE>", "a web page"),
    "page with a comment": (b"<!-- a\nsaved page -->\n<html>", "a web page"),
    "server's error": (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "an XML text"),
    "server's answer": (b'{"message": "Not Found"}', "a JSON text"),
    "gzip": (gzip.compress(b"weights"), "a gzip archive: unpack it"),
    "zip": (_zip_bytes(), r"a zip archive of weights/model\.pth: unpack it"),
    "tar": (_tar_bytes(), "a tar archive: unpack it"),
    "numpy": (_npy_bytes(), "a NumPy array"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
    "picture": (b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG image"),
    "onnx": (_onnx_bytes(), r"an ONNX file.*use it as onnx@DESCRIPTOR\.toml"),
}


@pytest.mark.parametrize("ending", [".pth", ".pt", ".tar", ".safetensors"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_weights_file_is_named_for_what_it_is(
    tmp_path: Path, kind: str, ending: str
) -> None:
    content, words = FOREIGN[kind]
    path = tmp_path / f"model{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"model{ending} is.* {words.removeprefix('is ')}") as error:
        load_state(path)
    assert len(str(error.value).splitlines()) == 1
    assert "foreign code" not in str(error.value)


def test_weights_under_the_ending_of_another_format_are_told_their_own(tmp_path: Path) -> None:
    named_pth, named_safetensors = tmp_path / "a.pth", tmp_path / "b.safetensors"
    named_pth.write_bytes(save(STATE))
    with pytest.raises(ValueError, match=r"a\.pth is a safetensors file: give it the ending \.safetensors"):
        load_state(named_pth)
    for content in (_torch_bytes(), _torch_bytes(legacy=True), pickle.dumps({"a": 1})):
        named_safetensors.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"b\.safetensors is a PyTorch checkpoint: give it the ending \.pth"
        ):
            load_state(named_safetensors)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_of_either_format_is_none_of_these(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(_torch_bytes(legacy))
    assert torch.equal(load_state(path)["weight"], STATE["weight"])
    kind = file_kind(path)
    assert kind is not None
    assert kind.is_checkpoint


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder: check the path"):
        load_state(tmp_path)
    with pytest.raises(ValueError, match=r"none\.pth is not there: check the path"):
        load_state(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS, "a Git LFS pointer.*git lfs pull"),
        (b"<html>", "a web page"),
        (b"", "empty; fetch it again"),
        (_torch_bytes(), "a PyTorch checkpoint; train one with `crface train`"),
        (_onnx_bytes(), "an ONNX file.*train one with `crface train`"),
    ],
)
def test_a_file_that_is_no_ranker_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "ranker.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"cannot read the ranker .*ranker\.safetensors: it is .*{words}"):
        ranker.load(path)


def test_a_trunks_weights_are_looked_at_likewise(tmp_path: Path) -> None:
    path = tmp_path / "imagenet.pth"
    path.write_bytes(LFS)
    with pytest.raises(ValueError, match="Git LFS pointer"):
        load_imagenet(mobilenet_v1(width=0.25), path)
