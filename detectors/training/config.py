"""How a detector is trained: every number that decides the bytes of its weights."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_serializer, model_validator

from crface.training.trainer import Precision
from detectors.training.augmentation import Scales

_SHORT_NAMES: Final[dict[str, str]] = {"float32": "fp32", "bfloat16": "bf16"}


def _full_name(precision: object) -> object:
    """A precision by its full name; recipes may still use the short one."""
    return {short: full for full, short in _SHORT_NAMES.items()}.get(str(precision), precision)


class DetectorTrainConfig(BaseModel):
    """How a detector is trained; the defaults make the shipped mobilenet0.25 in about an hour on a CPU.

    They are a short run with AdamW, which starts twice as fast as SGD does, ends in a linear decay to zero, and
    keeps the average of the weights. The recipes for WIDER FACE have the original schedules: SGD, and at each
    milestone a tenth of the rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    seed: int = Field(0, ge=0, description="seed of weights, order, crops and colours")
    side_px: int = Field(320, ge=32, le=2048, description="side of the square training images")
    batch_size: int = Field(
        16, ge=2, le=4096, description="images in a step; batch normalisation needs at least two"
    )
    iterations: int = Field(3600, ge=1, description="steps of the whole run")
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="sgd: with momentum; weights decay with the rate"
    )
    learning_rate: float = Field(0.006, gt=0.0, lt=10.0, description="after the warm-up, until the decay")
    warmup_iterations: int = Field(
        50, ge=0, description="steps in which the learning rate rises to its value"
    )
    decay_share: float = Field(
        0.4, ge=0.0, le=1.0, description="last share of the run, in which the learning rate falls to zero"
    )
    milestones: tuple[int, ...] = Field(
        (), strict=False, description="steps from which the learning rate is multiplied by milestone_factor"
    )
    milestone_factor: float = Field(0.1, gt=0.0, lt=1.0)
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of the gradient (Adam's beta 1)")
    square_momentum: float = Field(
        0.99, ge=0.0, lt=1.0, description="of its square (Adam's beta 2); not used by sgd"
    )
    weight_decay: float = Field(0.01, ge=0.0, lt=1.0, description="of convolution weights (AdamW: decoupled)")
    precision: Annotated[Precision, BeforeValidator(_full_name)] = Field(
        "float32", description="of the network's forward pass; weights, loss and step stay float32"
    )
    max_gradient_norm: float = Field(
        10.0, gt=0.0, description="longer gradients are scaled down to this length"
    )
    average_decay: float = Field(
        0.998, ge=0.0, lt=1.0, description="share of the averaged weights that a step keeps; 0: no average"
    )
    positive_iou: float = Field(
        0.35, gt=0.0, lt=1.0, description="overlap from which a prior is to find a face"
    )
    anchors_per_face: int = Field(
        0, ge=0, le=100, description="HAMBox's K: faces with fewer anchors are given more; 0: no such mining"
    )
    regressed_iou: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="HAMBox's T: overlap from which a regressed box is good enough for that",
    )
    negatives_per_positive: int = Field(
        7, ge=1, le=1000, description="hardest background priors learned for each positive"
    )
    box_weight: float = Field(2.0, ge=0.0, description="weight of the box term of the loss")
    landmark_weight: float = Field(
        0.0, ge=0.0, description="weight of the landmark term; above 0 labels with landmarks are needed"
    )
    smallest_scale: float = Field(
        0.35, gt=0.0, le=16.0, description="photographs are scaled down to this at most"
    )
    largest_scale: float = Field(
        2.5, gt=0.0, le=16.0, description="photographs are scaled up to this at most"
    )
    min_face_px: float = Field(
        6.0, ge=1.0, description="smaller faces (root of the area, after scaling) teach nothing"
    )
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")

    @field_serializer("precision")
    def _recorded(self, precision: Precision) -> str:
        """The short name, which checkpoints have always held."""
        return _SHORT_NAMES[precision]

    @model_validator(mode="after")
    def _scales_in_order(self) -> "DetectorTrainConfig":
        if self.smallest_scale > self.largest_scale:
            raise ValueError(
                f"smallest_scale {self.smallest_scale} is above largest_scale {self.largest_scale}"
            )
        return self

    @property
    def scales(self) -> Scales:
        """The part that decides the scaling of photographs."""
        return Scales(smallest=self.smallest_scale, largest=self.largest_scale, min_face_px=self.min_face_px)

    @property
    def decay_start(self) -> int:
        """The first step of the decay; up to there the run does not depend on `iterations`."""
        return self.iterations - round(self.iterations * self.decay_share)
