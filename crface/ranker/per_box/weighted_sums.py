"""Sums of four rows of a table each, and the gradient of the table: operators that torch.compile leaves as they are."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor


def weighted_sums(
    table: Float[Tensor, "row value"], rows: Int64[Tensor, "sum 4"], weights: Float[Tensor, "sum 4"]
) -> Float[Tensor, "sum value"]:
    """Sums of four `rows` of the table each, times `weights`, which have no gradient."""
    sums: Tensor = _sums(table, rows, weights)
    return sums


@torch.library.custom_op("crface::weighted_sums", mutates_args=())
def _sums(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)


@torch.library.custom_op("crface::weighted_sums_gradient", mutates_args=())
def _table_gradient(gradient: Tensor, rows: Tensor, weights: Tensor, num_rows: int) -> Tensor:
    # PyTorch's own gradient of embedding_bag sorts all rows first, which takes longer than everything else here
    sums = torch.arange(len(rows), device=rows.device)[:, None].expand_as(rows)
    places, size = torch.stack([rows.flatten(), sums.flatten()]), (num_rows, len(rows))
    shares = torch.sparse_coo_tensor(places, weights.flatten(), size, check_invariants=False)
    of_table: Tensor = torch.sparse.mm(shares, gradient)
    return of_table


@_sums.register_fake
def _(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    return table.new_empty(len(rows), table.shape[1])


@_table_gradient.register_fake
def _(gradient: Tensor, rows: Tensor, weights: Tensor, num_rows: int) -> Tensor:
    return gradient.new_empty(num_rows, gradient.shape[1])


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    table, rows, weights = inputs
    ctx.save_for_backward(rows, weights)
    ctx.num_rows = len(table)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    of_table: Tensor = _table_gradient(gradient, *ctx.saved_tensors, ctx.num_rows)
    return of_table, None, None


_sums.register_autograd(_backward, setup_context=_remember)
