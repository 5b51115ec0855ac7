"""The box processing network (BPN): candidates as a one-channel image of N x 5 "pixels" (paper 3.4, 4.3)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from crface.tensor_shapes import RowBatch

BPN_CHANNELS = 64
LEAKY_SLOPE = 0.1

_LAYERS_PER_STAGE = 3
_KERNEL = (3, 5)


class BoxProcessingNetwork(nn.Module):
    """One feature map per backbone level, from the candidates; padding rows contribute nothing.

    Nine convolutions of 64 channels, each followed by a leaky ReLU; after the third, sixth and ninth the
    features are resized (nearest neighbour) to the first, second and third backbone level. The paper leaves
    open, and is read as:

    - *Expand N x 5 to 64 x N x 5*: the first convolution does it, 1 channel to 64. That is why it alone has
      no skip.
    - *Kernel*: 5x3 in section 3.4, 3x5 with padding 1x2 in 4.3. Taken is 3 rows (neighbours in the order of
      confidence) by 5 columns, which with padding 1x2 keeps N x 5 and sees all five numbers of a row.
    - *Skip*: `x + leaky(conv(x))`, so that what the detector said reaches every stage unchanged.
    - *Which stage meets which level*: stage 1 the finest (stride 8), stage 3 the coarsest (stride 32), in the
      order in which the backbone makes them.
    - *Matrix shorter than N, filled with zeros*: zeros at the input would not stay zeros (convolutions have
      biases), so features of padding rows are set to 0 after every layer; a real row next to padding sees
      what a row at the edge of the matrix sees.

    Only the rows that the resizing reads are computed: a map of h rows reads h of the N rows, and a row after
    layer l depends on l rows to either side of it at the input. So each level takes h windows of 2 l + 1
    input rows through its l layers, shrinking by one row at either end in each. The result is that of the
    whole N x 5 x 64 computation (a test says so), the cost does not grow with N: for N = 5000 and an image of
    1024 pixels it is a tenth.
    """

    def __init__(self, num_levels: int = 3) -> None:
        super().__init__()
        num_layers = _LAYERS_PER_STAGE * num_levels
        across = (0, _KERNEL[1] // 2)  # rows are not padded here: the windows include their neighbours
        self.layers = nn.ModuleList(
            nn.Conv2d(1 if i == 0 else BPN_CHANNELS, BPN_CHANNELS, _KERNEL, padding=across)
            for i in range(num_layers)
        )

    def forward(
        self,
        rows: RowBatch,
        is_box: Bool[Tensor, "image box"],
        sizes: list[tuple[int, int]],
    ) -> list[Float[Tensor, "image channel _ _"]]:
        """A map of 64 channels for each (height, width) of `sizes`, finest level first.

        `rows` are x, y, w, h, confidence, all relative (0..1), highest confidence first; rows with `is_box` False
        are ignored.
        """
        return [self._level(rows, is_box, size, level) for level, size in enumerate(sizes)]

    def _level(self, rows: Tensor, is_box: Tensor, size: tuple[int, int], level: int) -> Tensor:
        num_images, num_rows = is_box.shape
        height, width = size
        num_layers = _LAYERS_PER_STAGE * (level + 1)
        reads = nearest_rows(num_rows, height, rows.device)
        reach = torch.arange(-num_layers, num_layers + 1, device=rows.device)
        # `num_layers` rows of padding at either end stand for the convolutions' zero padding
        window = reads[:, None] + reach + num_layers
        inside = (
            F.pad(is_box, (num_layers, num_layers))[:, window].flatten(0, 1)[:, None, :, None].to(rows.dtype)
        )
        x = F.pad(rows, (0, 0, num_layers, num_layers))[:, window].flatten(0, 1)[:, None] * inside
        for i, layer in enumerate(self.layers[:num_layers]):
            skip = x[:, :, 1:-1]
            inside = inside[:, :, 1:-1]
            y = F.leaky_relu(layer(x), LEAKY_SLOPE)
            x = (y if i == 0 else y + skip) * inside
        columns = x.view(num_images, height, BPN_CHANNELS, rows.shape[2]).transpose(1, 2)
        return columns[..., nearest_rows(rows.shape[2], width, rows.device)]


def nearest_rows(num_rows: int, num_cells: int, device: torch.device | None = None) -> Int64[Tensor, " cell"]:
    """The row, of `num_rows`, that each of `num_cells` cells reads when resized by nearest neighbour.

    Cell i reads floor(i rows / cells).

    In whole numbers, so that no rounding of a quotient picks the row before.
    """
    return torch.arange(num_cells, device=device) * num_rows // num_cells
