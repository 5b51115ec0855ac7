"""What users may rely on when they name a detector and hand it weights."""

import hashlib
import json
import pickle
import subprocess
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch

import detectors
import detectors.base
from crface.weights import check_keys, load_state, read_metadata, save_state
from detectors.conversion import import_checkpoint
from detectors.networks.retinaface import mobilenet025
from detectors.weights import load_network

NAME = "retinaface-mobilenet0.25"


class OwnDetector:
    """A detector that a user wrote; it finds one face in the left top corner.

    The rest of the docstring is not the description.
    """

    version = 3
    name = "own"

    def __init__(self, weights: Path | None, device: str) -> None:
        self.weights, self.device = weights, device

    def candidates(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Find the face."""
        return [np.array([[0, 0, 10, 10, 0.9]], np.float32) for _ in images]


class NoVersion:
    """A class that forgot its version."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "ours.safetensors"
    path.write_bytes(save_state(mobilenet025().state_dict(), {"detector": NAME}))
    return path


def _state() -> dict[str, torch.Tensor]:
    return dict(mobilenet025().state_dict())


def test_the_registered_detector_is_listed_with_one_line() -> None:
    description = detectors.available()[NAME]
    assert "mobilenet0.25" in description
    assert "\n" not in description


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=rf"no detector retina: choose .*{NAME}"):
        detectors.create("retina")


def test_weights_none_gives_a_network_and_candidates(weights: Path) -> None:
    detector = detectors.create(NAME, weights=None)
    assert isinstance(detector, detectors.Detector)
    assert detector.name == NAME
    assert len(detector.candidates([np.zeros((8, 8, 3), np.uint8)])[0]) == 6


def test_at_and_argument_name_the_same_weights(weights: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    one = detectors.create(f"{NAME}@{weights}").candidates([image])[0]
    other = detectors.create(NAME, weights=weights).candidates([image])[0]
    assert np.array_equal(one, other)


def test_weights_named_twice_or_not_at_all_after_the_at_are_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match="given twice"):
        detectors.create(f"{NAME}@{weights}", weights=weights)
    with pytest.raises(ValueError, match="names no weights after the @"):
        detectors.create(f"{NAME}@")


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    for act in (detectors.create, detectors.identify):
        with pytest.raises(ValueError, match=r"absent\.pth"):
            act(f"{NAME}@{tmp_path / 'absent.pth'}")


def test_identity_is_of_the_weights_bytes_and_of_nothing_machine_dependent(
    weights: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes(weights.read_bytes())
    identity = detectors.identify(f"{NAME}@{weights}")
    assert identity == detectors.identify(f"{NAME}@{elsewhere}")
    assert identity["weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert identity["max_candidates"] == 5000
    assert json.loads(json.dumps(identity)) == identity
    other = tmp_path / "other.safetensors"
    other.write_bytes(save_state({k: v + 1 for k, v in _state().items()}, {}))
    assert detectors.identify(f"{NAME}@{other}") != identity


def test_a_class_of_the_users_own_is_a_detector_by_module_and_name() -> None:
    spec = f"{__name__}:OwnDetector"
    detector = detectors.create(spec, device="cpu")
    assert detector.candidates([np.zeros((20, 20, 3), np.uint8)])[0].shape == (1, 5)
    assert detectors.identify(spec) == {
        "detector": spec,
        "weights": "none",
        "version": 3,
        "max_candidates": 5000,
    }


def test_what_is_no_detector_is_refused_with_what_one_needs() -> None:
    with pytest.raises(ValueError, match="a class with an integer `version`"):
        detectors.create(f"{__name__}:NoVersion")
    with pytest.raises(ValueError, match=r"cannot be loaded from nowhere\.at:All"):
        detectors.create("nowhere.at:All")


def test_a_broken_plugin_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    own = EntryPoint("own", f"{__name__}:OwnDetector", "crface.detectors")
    broken = EntryPoint("broken", "nowhere.at:All", "crface.detectors")
    monkeypatch.setattr(detectors.base, "entry_points", lambda group: [own, broken])
    listed = detectors.available()
    assert list(listed) == ["broken", "own"]
    assert listed["own"] == "A detector that a user wrote; it finds one face in the left top corner."
    assert listed["broken"].startswith("unusable: ")


def test_a_module_prefix_and_a_wrapper_are_taken_off(tmp_path: Path) -> None:
    state = _state()
    path = tmp_path / "parallel.pth"
    torch.save({"epoch": 250, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    loaded = load_state(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_missing_unexpected_and_misshapen_keys_are_counted_and_listed_shortened() -> None:
    state = _state()
    for level in (1, 2, 3):
        for part in ("conv3X3", "conv5X5_1"):
            del state[f"ssh{level}.{part}.0.weight"]
    state["extra"] = torch.zeros(1)
    state["ClassHead.0.conv1x1.bias"] = torch.zeros(6)
    missing, unexpected, misshapen = check_keys(mobilenet025(), state)
    assert missing.startswith("6 missing: ssh1.conv3X3.0.weight, ssh1.conv5X5_1.0.weight")
    assert missing.endswith("ssh3.conv3X3.0.weight, and 1 more")
    assert unexpected == "1 unexpected: extra"
    assert misshapen == "1 misshapen: ClassHead.0.conv1x1.bias [6] instead of [4]"


def test_weights_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    state = _state()
    del state["fpn.merge1.0.weight"]
    path = tmp_path / "partial.safetensors"
    path.write_bytes(save_state(state, {}))
    network = mobilenet025()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"does not fit .*: 1 missing: fpn\.merge1\.0\.weight$"):
        load_network(network, path, NAME)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_weights_written_before_normalisation_counted_its_steps_load(tmp_path: Path) -> None:
    state = {key: value for key, value in _state().items() if not key.endswith("num_batches_tracked")}
    path = tmp_path / "old.safetensors"
    path.write_bytes(save_state(state, {}))
    load_network(network := mobilenet025(), path, NAME)
    assert torch.equal(network.state_dict()["fpn.merge1.0.weight"], state["fpn.merge1.0.weight"])


def test_a_resnet50_checkpoint_is_one_sentence_that_names_its_network(shared: Path, tmp_path: Path) -> None:
    keys = json.loads((shared / "reference" / "retinaface_resnet50_keys.json").read_text())
    path = tmp_path / "Resnet50_Final.pth"
    torch.save({f"module.{key}": torch.zeros(shape) for key, shape in keys.items()}, path)
    with pytest.raises(
        ValueError,
        match=r"weights of (retinaface-resnet50|a network on ResNet-50), not of retinaface-mobilenet0.25",
    ) as error:
        detectors.create(f"{NAME}@{path}")
    assert len(str(error.value).splitlines()) == 1


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[list[str]]]:
        return subprocess.check_call, (["touch", "/tmp/crface-malicious-pickle-ran"],)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_pickle_is_refused_in_a_sentence_and_never_run(tmp_path: Path, protocol: int) -> None:
    ran = Path("/tmp/crface-malicious-pickle-ran")
    ran.unlink(missing_ok=True)
    torch_file, plain_file = tmp_path / "bad.pth", tmp_path / "plain.pth"
    torch.save({"weight": _Malicious()}, torch_file)
    plain_file.write_bytes(pickle.dumps(_Malicious(), protocol=protocol))
    for path in (torch_file, plain_file):
        with pytest.raises(ValueError, match=r"\.pth (is refused|cannot be read as weights)") as error:
            load_state(path)
        assert len(str(error.value).splitlines()) == 1
    assert not ran.exists()


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_a_cut_off_file_is_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(_state(), path)
    else:
        path.write_bytes(save_state(_state(), {}))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut\.\w+ (is refused|cannot be read as weights)"):
        load_state(path)


def test_a_file_of_other_things_holds_no_tensors(tmp_path: Path) -> None:
    path = tmp_path / "numbers.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(ValueError, match=r"holds no named tensors"):
        load_state(path)


def test_import_keeps_the_tensors_and_says_where_they_come_from(tmp_path: Path) -> None:
    source, destination = tmp_path / "published.pth", tmp_path / "new" / "ours.safetensors"
    torch.save({f"module.{key}": value for key, value in _state().items()}, source)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert import_checkpoint(source, NAME, destination, sha256=sha256.upper()) == sha256
    assert read_metadata(destination) == {
        "detector": NAME,
        "source": "published.pth",
        "source_sha256": sha256,
    }
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    of_source = detectors.create(f"{NAME}@{source}").candidates([image])[0]
    assert np.array_equal(of_source, detectors.create(f"{NAME}@{destination}").candidates([image])[0])


def test_import_refuses_another_hash_and_leaves_no_file(tmp_path: Path) -> None:
    source, destination = tmp_path / "published.pth", tmp_path / "ours.safetensors"
    torch.save(_state(), source)
    with pytest.raises(ValueError, match="expected 00: it is another file or damaged"):
        import_checkpoint(source, NAME, destination, sha256="00")
    assert list(tmp_path.iterdir()) == [source]


def test_import_needs_a_detector_with_a_network_of_ours(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to import weights into"):
        import_checkpoint(weights, f"{__name__}:OwnDetector", tmp_path / "x.safetensors")


WRAPPERS = [
    "state_dict", "model", "model_state_dict", "net", "weights", "ema", "params_ema", "network", "model.state_dict",
]  # fmt: skip


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_only_state_dict_of_a_checkpoint_is_found_under_any_key(tmp_path: Path, wrapper: str) -> None:
    state, path = _state(), tmp_path / "trained.pth"
    nested: object = state
    for key in reversed(wrapper.split(".")):
        nested = {key: nested, "epoch": 3}
    assert isinstance(nested, dict)
    moments = {0: {"exp_avg": torch.zeros(3), "step": torch.tensor(1.0)}}
    nested["optimizer"] = {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]}
    nested["optimizer_by_name"] = {"fpn.weight": {"exp_avg": torch.zeros(3)}}
    nested["callbacks"] = {"best": {"score": torch.tensor(0.9)}}
    torch.save(nested, path)
    loaded = load_state(path)
    assert loaded.keys() == state.keys()
    load_network(mobilenet025(), path, NAME)


def test_of_two_state_dicts_that_fit_none_is_taken_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "both.pth"
    torch.save({"model": _state(), "ema": _state(), "epoch": 3}, path)
    for load in (load_state, lambda path: load_network(mobilenet025(), path, NAME)):
        with pytest.raises(
            ValueError,
            match=r"both\.pth holds 2 state dicts, model, ema: write the one to use to a file of its own, "
            r"as torch\.save\(torch\.load\('both\.pth'\)\['model'\], 'chosen\.pth'\)",
        ):
            load(path)


def test_of_two_state_dicts_the_one_that_fits_is_loaded(tmp_path: Path) -> None:
    state, path = _state(), tmp_path / "both.pth"
    torch.save({"teacher": {"conv.weight": torch.zeros(3, 3)}, "student": state}, path)
    load_network(network := mobilenet025(), path, NAME)
    assert torch.equal(network.state_dict()["fpn.merge1.0.weight"], state["fpn.merge1.0.weight"])


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "detector."]
)
def test_what_wrappers_put_before_every_name_is_taken_off(tmp_path: Path, prefix: str) -> None:
    state, path = _state(), tmp_path / "wrapped.pth"
    torch.save({"state_dict": {prefix + key: value for key, value in state.items()}}, path)
    assert load_state(path).keys() == state.keys()


def test_a_checkpoint_without_a_state_dict_lists_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "numbers.pth"
    torch.save({"epoch": 3, "arch": "slim", "losses": [0.1]}, path)
    with pytest.raises(ValueError, match=r"holds no named tensors: .*; its keys are epoch, arch, losses$"):
        load_state(path)
