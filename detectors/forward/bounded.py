"""The forward pass of an anchor network in bounded memory: fewer images at a time, tiles if one is too much."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from detectors.forward.footprint import MAX_ELEMENTS, Footprint, footprint
from detectors.forward.on_cpu import CpuForm
from detectors.forward.pixels import to_input
from detectors.forward.receptive_field import margin_px
from detectors.forward.tiles import Tile, plan_tiles, tiled_forward
from detectors.networks.anchor_network import AnchorNetwork

_PROBE_PX: Final = 1024  # a footprint grows with the area, so this size predicts every other
_MAX_CPU_BYTES: Final = 4 << 30
_CPU_SHARE: Final = 4  # a forward pass takes at most this fraction (1 / 4) of a machine's memory
_WORKSPACE: Final = 1.25  # factor for the extra memory of convolutions; the largest one measured


@dataclass(frozen=True, slots=True)
class Steps:
    """How images are forwarded: `batch` at a time, each whole or in `tiles`."""

    batch: int
    tiles: tuple[Tile, ...] = ()


class BoundedForward:
    """An anchor network for uint8 RGB images of any size, within whatever memory there is.

    `max_bytes` is what a forward pass may take; None: four fifths of the free memory on a GPU; on a CPU a quarter
    of the machine's memory, at most 4 GiB, the same for every run. Images that do not fit together are forwarded
    separately, and one that does not fit alone is forwarded in tiles; likewise if a GPU runs out of memory.
    Neither changes the outputs by more than rounding in a different order of summation, and no tensor reaches
    2^31 elements.
    """

    def __init__(self, network: AnchorNetwork, device: torch.device, max_bytes: int | None = None) -> None:
        self.autocast_to: torch.dtype | None = None
        """The precision of convolutions, None for single; the outputs are always in single precision."""
        self._network = network
        self._device = device
        self._max_bytes = max_bytes

    def __call__(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> tuple[Float[Tensor, "batch prior _"], ...]:
        """The network's outputs.

        Raises torch.OutOfMemoryError when a GPU has no room for even the smallest tile.
        """
        num_images, height, width, _ = images.shape
        budget = self._available_bytes()
        steps = self.plan(num_images, height, width, budget)
        while True:
            try:
                return self._run(images, steps)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                refused = steps
                while steps == refused:
                    budget //= 2
                    if budget == 0:
                        raise
                    steps = self.plan(num_images, height, width, budget)

    def plan(self, num_images: int, height: int, width: int, max_bytes: int) -> Steps:
        """How images of one size are forwarded within `max_bytes` of memory."""
        bytes_per_pixel = self._footprint.total_bytes * _WORKSPACE / _PROBE_PX**2
        elements_per_pixel = self._footprint.largest_elements / _PROBE_PX**2
        max_pixels = int(min(max_bytes / bytes_per_pixel, MAX_ELEMENTS / elements_per_pixel))
        stride = max(self._network.layout.strides_px)
        # maps also have cells for incomplete strides
        pixels = -(-height // stride) * -(-width // stride) * stride**2
        if pixels <= max_pixels:
            return Steps(min(num_images, max_pixels // pixels))
        return Steps(1, tuple(plan_tiles(height, width, stride, self._margin, max_pixels)))

    def _run(self, images: Tensor, steps: Steps) -> tuple[Tensor, ...]:
        layout = self._network.layout
        parts = [
            tiled_forward(self._forward, layout, part, steps.tiles) if steps.tiles else self._forward(part)
            for part in torch.split(images, steps.batch)
        ]
        return (
            tuple(torch.cat(answers) for answers in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
        )

    def _forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if self.autocast_to is None:
            if self._device.type == "cpu":
                return self._on_cpu(images)
            return self._network(to_input(images))  # type: ignore[no-any-return]
        with torch.autocast(self._device.type, self.autocast_to):
            return tuple(answer.float() for answer in self._network(to_input(images)))

    def _available_bytes(self) -> int:
        if self._max_bytes is not None:
            return self._max_bytes
        if self._device.type == "cuda":
            unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
            return (torch.cuda.mem_get_info(self._device)[0] + unused) * 4 // 5
        # not the memory free at the moment: the same machine must always produce the same bits
        return min(_MAX_CPU_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _CPU_SHARE)

    @cached_property
    def _on_cpu(self) -> CpuForm:
        return CpuForm(self._network)

    @cached_property
    def _footprint(self) -> Footprint:
        return footprint(self._network, _PROBE_PX, _PROBE_PX)

    @cached_property
    def _margin(self) -> int:
        return margin_px(self._network)
