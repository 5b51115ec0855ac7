"""A ranker as an ONNX file, for programs without PyTorch; writing one needs the package `onnx`.

The model has the inputs

- `picture`, uint8 [1, rows, columns, 3]: the RGB image with its long side scaled to `image_side_px`, in the upper
  left corner of an area of mean colour (123, 117, 104): a square for the paper's rankers, else the least
  multiples of 32 that hold it (`crface.ranker.inputs`)
- `rows`, float32 [1, N, 5]: x, y, w, h, confidence of the candidates, the first four in shares of the image's width
  and height, highest confidence first, filled up with zeros to N = `num_candidates`
- `size`, float32 [1, 2], of the per-box ranker alone: width and height of the image in `picture`

and the output `confidences`, float32 [1, N], 0..1, 0 for rows of zeros. Its metadata hold the ranker's name, N and
the side in pixels. Rows and columns of the picture may change from one run to the next.
"""

import importlib.util
import io
import warnings

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from crface.ranker.inputs import to_tensor
from crface.ranker.interface import Ranker, evaluating

OPSET = 18
"""Version of the standard operators, which onnxruntime runs from 1.14 on."""


def to_onnx(model: Ranker) -> bytes:
    """The bytes of the ONNX file of a ranker in evaluation mode.

    Raises ValueError when the package `onnx` is missing, and for a ranker that asks other detectors.
    """
    if model.opinions:
        raise ValueError(
            f"the {model.name} ranker asks {', '.join(model.opinions)}: an ONNX file would not hold these detectors; "
            "use `crface rank` or `crface detect`"
        )
    if importlib.util.find_spec("onnx") is None:
        raise ValueError("writing an ONNX file needs the package onnx: pip install onnx")
    import onnx

    example = (
        torch.zeros(1, 64, 96, 3, dtype=torch.uint8),
        torch.rand(1, model.num_candidates, 5),
        torch.tensor([[96.0, 64.0]]),
    )
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, and warns of every Python number on the way. Its successor needs another
        # package (onnxscript) and took minutes for the networks that this one writes in a second.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _WholeStep(model).eval(),
            example,
            content,  # type: ignore[arg-type]
            input_names=["picture", "rows", "size"],
            output_names=["confidences"],
            opset_version=OPSET,
            dynamic_axes={"picture": {1: "rows", 2: "columns"}},
            dynamo=False,
        )
    file = onnx.load_from_string(content.getvalue())
    about = {
        "ranker": model.name,
        "num_candidates": str(model.num_candidates),
        "image_side_px": str(model.image_side_px),
    }
    onnx.helper.set_model_props(file, about)
    return bytes(file.SerializeToString())


def largest_difference(model: Ranker, content: bytes) -> float:
    """Greatest difference between an ONNX file and its ranker on random pictures of three sizes.

    Raises ValueError when onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            "comparing an ONNX file with PyTorch needs onnxruntime: pip install 'crface[onnx]'"
        ) from error
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [wanted.name for wanted in session.get_inputs()]
    random = torch.Generator().manual_seed(0)
    largest = 0.0
    for num_rows, num_columns in ((64, 64), (96, 160), (160, 96)):
        picture = torch.randint(0, 256, (1, num_rows, num_columns, 3), generator=random, dtype=torch.uint8)
        rows = torch.rand(1, model.num_candidates, 5, generator=random) * 0.5
        rows[:, model.num_candidates // 2 + 1 :] = 0
        rows = rows[:, rows[0, :, 4].argsort(descending=True, stable=True)]
        size = torch.tensor([[float(num_columns), float(num_rows)]])
        inputs = dict(zip(("picture", "rows", "size"), (picture, rows, size), strict=True))
        with evaluating(model):
            expected = model.confidences(to_tensor(picture), rows, size)
        (found,) = session.run(["confidences"], {name: inputs[name].numpy() for name in names})
        largest = max(largest, float((torch.from_numpy(found) - expected).abs().max()))
    return largest


class _WholeStep(nn.Module):
    """The whole step from a program's inputs to confidences in 0..1."""

    def __init__(self, model: Ranker) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        picture: UInt8[Tensor, "1 rows columns 3"],
        rows: Float[Tensor, "1 box 5"],
        size: Float[Tensor, "1 2"],
    ) -> Float[Tensor, "1 box"]:
        return self.model.confidences(to_tensor(picture), rows, size)
