"""The worlds of the embedded data set: the same people in another light, air, camera or dress."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from embedded_folder import TINY, tree
from pydantic import ValidationError

from pipeline.config.sections import DatasetConfig, RunConfig, WorldName
from pipeline.embedded import make_dataset
from pipeline.embedded.air import Air, Haze, snowed
from pipeline.embedded.camera import Camera, taken
from pipeline.embedded.canvas import Canvas, Sprite, Veil, ellipse, paste
from pipeline.embedded.compose import compose
from pipeline.embedded.degrade import Degraded
from pipeline.embedded.faces import draw_person
from pipeline.embedded.labels import Face
from pipeline.embedded.looks import Looks, dressed
from pipeline.embedded.people import Person
from pipeline.embedded.worlds import WORLDS

SMALL = DatasetConfig(seed=3, train_images=40, val_images=20, long_side_px=320)
OTHERS: tuple[WorldName, ...] = tuple(name for name in WORLDS if name != "default")
UNDRESSED = [name for name in OTHERS if WORLDS[name].looks is None]
WHO = Person(skin=(220, 180, 150), hair=(30, 20, 20), clothes=(200, 0, 0))


def of_world(world: str, config: DatasetConfig = SMALL) -> DatasetConfig:
    return config.model_copy(update={"world": world})


def boxes(faces: list[Face]) -> list[tuple[int, int, int, int]]:
    return [(face.x, face.y, face.w, face.h) for face in faces]


# --- settings ---------------------------------------------------------------------------------------------------


def test_every_world_that_can_be_asked_for_exists_and_no_other() -> None:
    assert set(WORLDS) == set(get_args(WorldName))
    with pytest.raises(ValidationError, match="world"):
        DatasetConfig(world="mars")


def test_a_data_set_made_before_there_were_worlds_is_up_to_date(tmp_path: Path) -> None:
    make_dataset(tmp_path, TINY)
    marker = json.loads((tmp_path / "dataset.json").read_text())
    assert marker["config"] == {
        "seed": 3,
        "train_images": 6,
        "val_images": 4,
        "long_side_px": 96,
        "difficulty": 0.5,
    }
    make_dataset(tmp_path, TINY, lambda done, total: pytest.fail("drew again"))


def test_only_another_world_is_named_in_a_configuration_as_stored() -> None:
    assert "world" not in RunConfig().model_dump(mode="json")["dataset"]
    assert of_world("snow").model_dump(mode="json")["world"] == "snow"
    assert DatasetConfig.model_validate(of_world("snow").model_dump()) == of_world("snow")


def test_a_data_set_is_made_again_for_another_world_and_comes_back_as_it_was(tmp_path: Path) -> None:
    make_dataset(tmp_path, TINY)
    before = tree(tmp_path)
    make_dataset(tmp_path, of_world("night", TINY))
    changed = tree(tmp_path)
    assert changed.keys() == before.keys()
    assert all(changed[name] != digest for name, digest in before.items() if name.endswith(".jpg"))
    make_dataset(tmp_path, TINY)
    assert tree(tmp_path) == before


# --- the same people --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", UNDRESSED)
def test_light_air_and_camera_change_the_picture_and_no_box(world: str) -> None:
    for number in (0, 5):
        usual, other = (compose(of_world(name), "val", number) for name in ("default", world))
        assert boxes(other.faces) == boxes(usual.faces)
        assert np.abs(other.degraded.image.astype(int) - usual.degraded.image).mean() > 5


@pytest.mark.parametrize("world", OTHERS)
def test_a_picture_of_a_world_is_the_same_every_time(world: str) -> None:
    first, second = (compose(of_world(world), "val", 3) for _ in range(2))
    assert first.faces == second.faces
    assert np.array_equal(first.degraded.image, second.degraded.image)


@pytest.mark.parametrize("world", UNDRESSED)
def test_without_difficulty_the_air_is_clear_and_the_camera_perfect(world: str) -> None:
    easy = SMALL.model_copy(update={"difficulty": 0.0})
    for number in (0, 5):
        usual, other = (compose(of_world(name, easy), "val", number) for name in ("default", world))
        if usual.degraded.image.mean() > 80:  # a camera for the night brightens darker ones
            assert np.abs(other.degraded.image.astype(int) - usual.degraded.image).max() <= 1


def test_a_face_behind_a_mask_is_a_face() -> None:
    usual = [compose(SMALL, "val", n).faces for n in (0, 3, 8, 13)]
    masked = [compose(of_world("masks"), "val", n).faces for n in (0, 3, 8, 13)]
    faces, others = ([face for picture in found for face in picture] for found in (usual, masked))
    assert len(others) >= 0.95 * len(faces)
    covered = [sum(face.occlusion > 0 for face in found) / len(found) for found in (faces, others)]
    assert covered[1] > covered[0] + 0.3


# --- dress ------------------------------------------------------------------------------------------------------


def test_nobody_with_a_mask_has_a_hand_a_scarf_or_dark_glasses_in_front_of_the_face_too() -> None:
    hidden = Person(skin=WHO.skin, hair=WHO.hair, clothes=WHO.clothes, hand=True, scarf=True, sunglasses=True)
    who = dressed(hidden, Looks(masked=1.0), 1.0, np.random.default_rng(0))
    assert who.mask
    assert (who.hand, who.scarf, who.sunglasses) == (False, False, False)


def test_dress_leaves_the_pose_as_it_is() -> None:
    looks = WORLDS["looks"].looks
    assert looks is not None
    who = dressed(WHO, looks, 1.0, np.random.default_rng(0))
    assert who.skin != WHO.skin
    assert who.hair != WHO.hair
    assert (who.yaw, who.pitch, who.roll, who.jaw) == (WHO.yaw, WHO.pitch, WHO.roll, WHO.jaw)


@pytest.mark.parametrize("kind", ["medical", "cloth", "respirator", "bandana"])
@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.7])
def test_every_mask_covers_a_part_of_the_face_and_leaves_the_eyes(kind: str, yaw: float) -> None:
    bare = draw_person(replace(WHO, yaw=yaw), 40)
    masked = draw_person(replace(WHO, yaw=yaw, mask=True, mask_kind=kind), 40)
    left = masked.face.sum() / bare.face.sum()
    assert 0.4 < left < 0.8
    assert masked.face_area_px == bare.face_area_px


@pytest.mark.parametrize("hat", ["hard hat", "full helmet"])
def test_helmets_leave_enough_of_a_face_to_see_it_and_none_of_the_back_of_a_head(hat: str) -> None:
    bare, worn = draw_person(WHO, 40), draw_person(replace(WHO, hat=hat), 40)
    assert 0.25 < worn.face.sum() / bare.face.sum() < 0.95
    assert not draw_person(replace(WHO, hat=hat, facing_away=True), 40).face.any()


# --- air --------------------------------------------------------------------------------------------------------


def test_haze_hides_small_and_distant_faces_more_than_near_ones() -> None:
    haze = Haze(0.7, (200.0, 200.0, 200.0))
    shares = [haze.veil(height).share for height in (8, 24, 100, 400)]
    assert shares == sorted(shares, reverse=True)
    assert shares[1] == pytest.approx(1 - np.exp(-0.7))
    assert haze.veil(2).share <= 0.82


def test_haze_hides_the_sky_more_than_the_ground_at_ones_feet() -> None:
    scene = np.zeros((100, 4, 3), np.uint8)
    seen = Haze(0.7, (200.0, 200.0, 200.0)).over(scene)[:, 0, 0]
    assert seen[0] == seen[30] > seen[70] > seen[99] > 0


def test_a_full_veil_leaves_nothing_of_the_sprites_colour_and_all_of_its_outline() -> None:
    canvas = Canvas(20, 20)
    canvas.polygon(ellipse((10, 10), (6, 6)), (10, 20, 30))
    sprite = Sprite(canvas.rgba, canvas.face > 127, np.zeros((0, 2)), 0.0, (0.0, 0.0))
    image, owner = np.zeros((20, 20, 3), np.uint8), np.full((20, 20), -1, np.int16)
    paste(image, owner, sprite, (0, 0), -1, (1.0, 1.0, 1.0), Veil((100.0, 110.0, 120.0), 1.0))
    assert image[10, 10].tolist() == [100, 110, 120]
    assert image[1, 1].tolist() == [0, 0, 0]


def test_snowflakes_are_brighter_than_a_dark_picture() -> None:
    dark = np.zeros((60, 80, 3), np.float32)
    seen = snowed(dark, Air(flakes=(200, 200), near_flakes=(3, 3)), 1.0, np.random.default_rng(0))
    assert 0 < (seen > 30).mean() < 0.9


# --- camera -----------------------------------------------------------------------------------------------------


def shot(camera: Camera, mean: float = 40.0) -> Degraded:
    light = np.full((64, 64, 3), mean, np.float32)
    return taken(light, Degraded(light.astype(np.uint8), 0.5, 90), camera, 1.0, np.random.default_rng(0))


def test_a_camera_with_no_fault_changes_nothing() -> None:
    found = shot(Camera())
    assert (found.image == 40).all()
    assert (found.sigma_px, found.quality) == (0.5, 90)


def test_a_camera_for_the_night_brightens_with_the_noise() -> None:
    plain, bright = shot(Camera(read_noise=4.0)), shot(Camera(read_noise=4.0, brightness=(80, 80)))
    assert bright.image.mean() == pytest.approx(80, abs=1)
    assert bright.image.std() == pytest.approx(2 * plain.image.std(), rel=0.1)


def test_fewer_pixels_are_a_blur_that_the_labels_know_of() -> None:
    assert shot(Camera(shrink=(3.0, 3.0))).sigma_px == pytest.approx(np.hypot(0.5, 1.5))
