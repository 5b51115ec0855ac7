"""The sections of a run's configuration: frozen, typed objects, each of which decides the bytes of one stage."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from detectors.base import Precision


class Section(BaseModel):
    """A section of a TOML file: unknown keys are refused, and values never change after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


WorldName = Literal["default", "night", "haze", "surveillance", "snow", "looks", "masks"]
"""The worlds of the embedded data set (pipeline.embedded.worlds)."""


class DatasetConfig(Section):
    """The embedded data set (used without --data)."""

    seed: int = Field(0, ge=0, description="seed of everything that is drawn at random")
    train_images: int = Field(240, ge=1, le=100_000, description="images in the train split")
    val_images: int = Field(120, ge=1, le=100_000, description="images in the val split")
    long_side_px: int = Field(640, ge=96, le=4096, description="longer side of every image, pixels")
    difficulty: float = Field(
        0.5, ge=0.0, le=1.0, description="0: clear faces; 1: all blurred, dark, covered"
    )
    world: WorldName = Field(
        "default",
        description="light, air, camera and dress of all images; the shipped detectors were trained on default",
    )

    @model_serializer(mode="wrap")
    def _without_the_default_world(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # data sets and reports made before there were worlds are those of the default one, and stay up to date
        values: dict[str, Any] = serialize(self)
        if values.get("world") == "default":
            del values["world"]
        return values


class CacheConfig(Section):
    """Which candidates are stored, and how they are cut into blocks."""

    detectors: tuple[str, ...] = Field(("retinaface-mobilenet0.25",), min_length=1, strict=False)
    protocol: str = Field(
        "single",
        description="how an image is presented to a detector: the name of a protocol, or a TOML file",
    )
    max_side_px: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {},
        description="longest side of an image that a detector is shown, by the name its candidates are filed under",
    )
    precision: Precision = Field(
        "float32",
        description="precision of a network's convolutions; only for this package's own detectors",
    )
    max_megapixels: float = Field(
        200.0,
        gt=0,
        le=1000,  # OpenCV takes no more than 2^30 pixels
        description="larger images are refused by their header, before they are decoded",
    )
    block_images: int = Field(32, ge=1, le=4096, description="images per block, which is one Zarr shard")

    @property
    def max_pixels(self) -> int:
        """The limit of `max_megapixels` in pixels."""
        return round(self.max_megapixels * 1e6)


class TrainConfig(Section):
    """The ranker and its training (paper 3.2 - 3.4, 4.2, 5.5)."""

    ranker: Literal["large", "small", "small-told", "per-box", "second-opinion", "committee"] = Field(
        "small", description="which network (crface.ranker)"
    )
    detectors: tuple[str, ...] = Field(
        (),
        strict=False,
        description="names of the detectors in [cache] whose candidates it is trained on; none: all of them",
    )
    opinions: tuple[str, ...] = Field(
        (),
        strict=False,
        description="names of the detectors in [cache] that the committee asks about each box; none: all of them",
    )
    num_candidates: int = Field(5000, ge=2, le=5000, description="N: candidates the ranker takes, best first")
    image_side_px: int = Field(
        1024, ge=64, le=4096, description="long side that images are scaled to, pixels"
    )
    output_range: Literal["clipped", "scaled"] = Field(
        "clipped",
        description="how the large and small rankers keep confidences within 0..1: the paper's clip, or one linear map",
    )
    loss: Literal[
        "cross-entropy",
        "l1",
        "l2",
        "smooth-l1",
        "rank",
        "rank-margin",
        "rank-batch",
        "faces-first",
        "face-or-not",
        "varifocal",
    ] = Field("rank", description="which loss (crface.losses)")
    num_pairs: int = Field(10, ge=1, le=4999, description="pairs at distances 1..n (paper 3.2, Table 2)")
    batch_size: int = Field(32, ge=1, le=4096)
    iterations: int = Field(100_000, ge=0, description="0: by the number of images")
    augmentation: Literal["paper", "wide"] = Field(
        "paper", description="wide: also much smaller and blurred images, and candidates of the tail"
    )
    learning_rate: float = Field(1e-3, gt=0.0, lt=1.0)
    final_learning_rate: float = Field(1e-6, gt=0.0, lt=1.0)
    average_decay: float = Field(
        0.0, ge=0.0, lt=1.0, description="share of the averaged weights that a step keeps; 0: no average"
    )
    max_gradient_norm: float = Field(
        0.0, ge=0.0, description="longer gradients are scaled down to this length; 0: no limit"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="precision of the network; bfloat16 is mixed with float32"
    )
    compile: bool = Field(
        False, description="whether the network is compiled before the first step (torch.compile)"
    )
    initial_weights: str = Field(
        "",
        description="a RetinaFace checkpoint or an ImageNet classifier to start from; `detector`: the first RetinaFace "
        "mobilenet0.25 in [cache], else the shipped one; empty: random weights",
        validate_default=True,
    )
    gate: bool = Field(
        True,
        description="whether the state and the share of the refinement are chosen on held-out images, and nothing of "
        "it is used where they show no gain",
    )
    validation_share: float = Field(
        0.2,
        ge=0.0,
        lt=1.0,
        description="share of the train images held out to choose the state with the best AP; 0: the last is kept",
    )
    folds: int = Field(
        1,
        ge=0,
        le=10,
        description="above 1: trainings beside the last, each of which holds out another part of the images; 0: by "
        "the number of images",
    )
    validation_detectors: tuple[str, ...] = Field(
        (),
        strict=False,
        description="names of detectors in [cache] that are never trained on, and that alone count on the held-out "
        "images; none: all are trained on and count",
    )
    validate_every: int = Field(
        1000,
        ge=0,
        description="iterations between validations on the held-out images; 0: a sixth of them all",
    )
    patience: int = Field(
        0,
        ge=0,
        description="training ends after this many validations without a better AP; 0: it does not end early",
    )
    seed: int = Field(0, ge=0)
    checkpoint_every: int = Field(1000, ge=1, description="iterations between checkpoints")

    @field_validator("initial_weights")
    @classmethod
    def _weights_fit_the_ranker(cls, weights: str, info: ValidationInfo) -> str:
        if info.data.get("ranker") == "second-opinion" and not weights:
            raise ValueError('ranker = "second-opinion" asks a detector: name the file of a RetinaFace')
        if info.data.get("ranker") == "committee" and weights:
            raise ValueError('ranker = "committee" looks at no picture: it has nothing to start from')
        return weights


class EvaluateConfig(Section):
    """How candidates become detections (paper 4.2)."""

    nms_iou: float = Field(
        0.4, gt=0.0, lt=1.0, description="a box that overlaps a better one by more is suppressed"
    )
    score_threshold: float = Field(
        0.02, ge=0.0, lt=1.0, description="candidates at or below this confidence are no detections"
    )
    iou: float = Field(
        0.5,
        gt=0.1,  # a box whose overlap with a face is at least 0.1 but below this counts as misplaced
        lt=1.0,
        description="lowest overlap (IoU) at which a detection matches a face",
    )
    resamples: int = Field(
        1000, ge=0, le=100_000, description="resamplings of the images for 95 % intervals; 0: no intervals"
    )


class ComparedProtocol(Section):
    """One protocol of a comparison: a line of the table per detector and confidence."""

    protocol: str = Field(description="the name of a protocol, or a TOML file")
    split: str = Field(
        "", description="the split to compare on, where the data set has it; else the one that is evaluated"
    )
    detectors: tuple[str, ...] = Field(
        (), strict=False, description="detectors to compare; none: those of [cache]"
    )
    rankers: tuple[Literal["run", "own"], ...] = Field(
        (),
        strict=False,
        description="rankers to compare as well: the run's, or the protocol's own, trained on its candidates",
    )


class ComparisonConfig(Section):
    """Protocols compared on the same images (paper Tables 3 and 4), for `crface evaluate-protocols`."""

    images: int = Field(0, ge=0, description="images of the evaluated split, spread evenly over it; 0: all")
    train_images: int = Field(
        0, ge=0, description="images of the train split, for a protocol's own rankers; 0: all"
    )
    timed_images: int = Field(3, ge=1, description="evaluated images that are timed, after one to warm up")
    protocols: tuple[ComparedProtocol, ...] = Field((), strict=False)


class RunConfig(Section):
    """The configuration of one run: all sections, each with defaults."""

    dataset: DatasetConfig = DatasetConfig()
    cache: CacheConfig = CacheConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    comparison: ComparisonConfig = ComparisonConfig()
