"""The events that pictures belong to: their scene, the number and size of faces, and the conditions."""

from dataclasses import dataclass
from typing import Literal

from pipeline.dataset.splits import EIGHT_K_SPLIT, LARGE_SPLIT

Range = tuple[float, float]
Scene = Literal[
    "street", "stage", "tiers", "shelves", "gallery", "snow", "rain", "beach", "room", "park", "objects"
]
Arrangement = Literal["ground", "rows", "close"]

_SHAPES = ((4, 3), (3, 2), (4, 3), (3, 2), (16, 9), (1, 1), (3, 4), (2, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; face heights are in pixels of a 640 px picture, strengths are those at difficulty 0.5."""

    name: str
    scenes: tuple[Scene, ...]
    faces: Range
    """The fewest and most people facing the camera, distributed evenly over the logarithm; below 1 means none."""
    height_px: Range
    shapes: tuple[tuple[int, int], ...] = _SHAPES
    """The possible ratios of width to height, one drawn at random for each picture."""
    arrangement: Arrangement = "ground"
    share: int = 1
    """The number of pictures in twenty that belong to this event."""
    covered: float = 0.08
    """The chance of a mask, scarf, hand, sunglasses or helmet in front of a face."""
    turned: float = 0.4
    """How far heads turn."""
    away: float = 0.1
    """The number of people seen from behind, per person facing the camera."""
    blur_px: Range = (0.0, 0.8)
    darkness: Range = (0.0, 0.25)
    """The share of light that is missing."""
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Colour of the light."""
    spread: float = 0.12
    """How unequally people are lit."""
    backlight: float = 0.0
    """How dark people are against their background."""
    noise: Range = (1.0, 6.0)
    weather: Literal["none", "rain", "snow", "haze", "beams"] = "none"
    distractors: tuple[str, ...] = ("ball", "clock", "poster")
    num_distractors: Range = (0.0, 2.0)
    in_front: tuple[str, ...] = ()
    """The objects held up in front of people, which may cover them."""
    num_in_front: Range = (0.0, 0.0)


EVENTS: tuple[Event, ...] = (
    Event(
        name="Parade",
        num_in_front=(0, 9),
        in_front=("placard", "umbrella", "hand"),
        share=2,
        scenes=("street", "park"),
        faces=(8, 50),
        height_px=(8, 95),
        away=0.25,
        blur_px=(0, 1.0),
    ),
    Event(
        name="Night_Concert",
        num_in_front=(2, 14),
        in_front=("hand",),
        share=2,
        scenes=("stage",),
        faces=(5, 45),
        height_px=(8, 125),
        away=0.7,
        turned=0.8,
        blur_px=(0.2, 1.5),
        darkness=(0.15, 0.6),
        cast=(0.8, 0.75, 1.15),
        spread=0.7,
        noise=(6, 18),
        weather="beams",
        distractors=("ball", "hand", "mannequin"),
        num_distractors=(1, 6),
    ),
    Event(
        name="Street_Portrait",
        share=2,
        scenes=("street", "room", "park", "objects"),
        faces=(1, 3.6),
        height_px=(90, 400),
        arrangement="close",
        turned=0.6,
        covered=0.12,
        blur_px=(0, 0.7),
        distractors=("clock", "ball", "poster", "non_face"),
        num_distractors=(0, 3),
    ),
    Event(
        name="Stadium",
        scenes=("tiers",),
        faces=(30, 125),
        height_px=(6, 22),
        arrangement="rows",
        turned=0.5,
        away=0.05,
        blur_px=(0.2, 0.9),
        distractors=("ball", "non_face", "facade"),
        num_distractors=(2, 12),
    ),
    Event(
        name="Toy_Shop",
        share=2,
        scenes=("shelves",),
        faces=(0.6, 4.5),
        height_px=(30, 170),
        blur_px=(0, 0.8),
        cast=(1.08, 1.0, 0.9),
        distractors=("doll", "doll", "doll", "mannequin", "smiley", "cat", "ball"),
        num_distractors=(6, 26),
    ),
    Event(
        name="Gallery",
        share=2,
        scenes=("gallery",),
        faces=(0.6, 7),
        height_px=(28, 180),
        away=0.5,
        turned=0.7,
        cast=(1.05, 1.0, 0.93),
        distractors=("portrait", "portrait", "portrait", "statue"),
        num_distractors=(3, 11),
    ),
    Event(
        name="Winter_Masks",
        share=2,
        scenes=("snow", "street"),
        faces=(2, 22),
        height_px=(14, 160),
        covered=0.6,
        cast=(0.93, 1.0, 1.1),
        weather="snow",
        distractors=("ball", "snowman"),
        num_distractors=(0, 4),
    ),
    Event(
        name="Rainy_Street",
        num_in_front=(0, 7),
        in_front=("umbrella",),
        share=2,
        scenes=("rain",),
        faces=(2, 24),
        height_px=(10, 140),
        covered=0.2,
        away=0.4,
        blur_px=(0.4, 2.0),
        darkness=(0.2, 0.55),
        cast=(0.88, 0.97, 1.08),
        noise=(3, 10),
        weather="rain",
        distractors=("facade", "clock", "lamp"),
        num_distractors=(1, 6),
    ),
    Event(
        name="Backlit_Beach",
        scenes=("beach",),
        faces=(1, 12),
        height_px=(16, 210),
        backlight=0.72,
        turned=0.6,
        blur_px=(0, 1.2),
        cast=(1.12, 1.0, 0.82),
        weather="haze",
        distractors=("ball", "ball"),
        num_distractors=(0, 4),
    ),
    Event(
        name="Class_Photo",
        scenes=("room", "park", "gallery"),
        faces=(14, 44),
        height_px=(26, 66),
        arrangement="rows",
        turned=0.05,
        away=0.0,
        covered=0.03,
        blur_px=(0, 0.6),
        distractors=("clock", "poster"),
        num_distractors=(0, 3),
    ),
    Event(
        name="House_Party",
        num_in_front=(0, 5),
        in_front=("hand", "ball"),
        scenes=("room",),
        faces=(3, 16),
        height_px=(34, 240),
        turned=0.9,
        covered=0.15,
        away=0.2,
        blur_px=(0.2, 1.4),
        darkness=(0.1, 0.5),
        cast=(1.15, 0.95, 0.8),
        spread=0.4,
        noise=(4, 12),
        distractors=("ball", "smiley", "poster", "hand"),
        num_distractors=(1, 7),
    ),
    Event(
        name="Pumpkin_Fair",
        scenes=("park", "street", "shelves"),
        faces=(0.4, 5),
        height_px=(24, 150),
        darkness=(0.0, 0.5),
        cast=(1.1, 0.97, 0.86),
        distractors=("pumpkin", "pumpkin", "facade", "non_face", "mannequin", "snowman"),
        num_distractors=(5, 20),
    ),
    Event(
        name="Quiet_Places",
        scenes=("objects", "park", "street", "room"),
        faces=(0.05, 1.2),
        height_px=(20, 120),
        distractors=("facade", "clock", "cat", "coin", "non_face", "ball", "lamp"),
        num_distractors=(2, 12),
    ),
)
"""The events of train and val; an event's place in this list is its number, as in WIDER FACE's `0--Parade`."""

LARGE_FACE = Event(
    name="Large_Face",
    scenes=("room", "park", "gallery", "beach"),
    shapes=((1, 1),),
    faces=(1, 1),
    height_px=(330, 400),
    arrangement="close",
    covered=0.0,
    turned=0.3,
    away=0.0,
    blur_px=(0, 0.3),
    noise=(1, 3),
    num_distractors=(0, 0),
)
"""The event of the split `large`: as in FFHQ, a square picture of one clear face over half of its height."""

_NAMES = (*(event.name for event in EVENTS), LARGE_FACE.name, "Eight_K")


def event_at(split: str, number: int) -> Event:
    """The event that picture `number` of a split belongs to."""
    return (*EVENTS, LARGE_FACE)[event_of(number, split)]


def event_of(number: int, split: str = "train") -> int:
    """The number of the event that a picture belongs to.

    In both train and val, any twenty consecutive pictures visit every event of `EVENTS`.
    """
    if split == LARGE_SPLIT:
        return _NAMES.index(LARGE_FACE.name)
    if split == EIGHT_K_SPLIT:
        return _NAMES.index("Eight_K")
    slots = [index for index, event in enumerate(EVENTS) for _ in range(event.share)]
    return slots[number * 7 % len(slots)]  # 7 and 20 share no divisor: every slot gets its turn


def event_folder(index: int) -> str:
    """The folder of an event, such as `0--Parade`."""
    return f"{index}--{_NAMES[index]}"


def image_name(number: int, split: str = "train") -> str:
    """The file name of picture `number`, such as `0_Parade_0_12.jpg`."""
    index = event_of(number, split)
    return f"{index}_{_NAMES[index]}_{index}_{number}.jpg"
