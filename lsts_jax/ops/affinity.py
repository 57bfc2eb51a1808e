"""Affinity and aggregation over learned sampling locations (paper, section 3.2, equations 1 to 4).

For every position p of the target and every sampling offset o_k:

    logits[k, p]   = <query(p), keys(p + o_k)>
    affinity[:, p] = normalise over k
    out(p)         = sum_k affinity[k, p] * values(p + o_k)

Two forms of the same function. `gather` samples keys and values K times, as it is written above.
`factorised` uses that bilinear sampling at a shared offset is a fixed blend of integer shifts. With the
tap matrix A[k, q] (the paper's kernel G at shift q of a window |q| <= R):

    logits[k, p] = sum_q A[k, q] * corr(p, q)      corr(p, q) = <query(p), keys(p + q)>
    out(p)       = sum_q blend(p, q) * values(p+q) blend(p, q) = sum_k affinity[k, p] * A[k, q]

so that nothing of size K x C x h x w exists and the cost does not depend on K. `correlate` and `blend` are
each other's derivatives up to the transposition q -> -q, hence the hand-written gradients below; A, the
normalisation and with them the offsets go through autodiff.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Float32

from lsts_jax.ops.sampling import sample_at_offsets, split_offsets

Normalization = Literal["softmax", "sum", "abs_sum"]
Implementation = Literal["factorised", "gather"]

# Queries of one dense product: a tile is compared with the patch that it reaches. Larger tiles waste
# products on pairs out of reach, smaller ones are too small for the matrix units.
TILE = 16
# Products accumulate in float32 whatever their operands are, and float32 operands are not rounded.
_matmul = partial(jnp.einsum, precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32)
# Keeps the normalisations that divide by a sum of signed similarities finite where it vanishes.
SUM_FLOOR = 1e-6


class Aggregation(NamedTuple):
    feature: Float[Array, "h w C"]
    affinity: Float32[Array, "K h w"]


def aggregate(
    query: Float[Array, "h w E"],
    keys: Float[Array, "h w E"],
    values: Float[Array, "h w C"],
    offsets: Float32[Array, "*K 2"],
    *,
    normalization: Normalization = "softmax",
    implementation: Implementation = "factorised",
    window: int = 8,
) -> Aggregation:
    """Sample keys and values at p + offsets and sum the values, weighted by their affinity to query(p).

    Args:
      query: embedding of the target.
      keys: embedding of the source; zero outside the map (such locations score 0 but take part).
      values: the source itself.
      offsets: sampling offsets (x, y) in cells; [K 2], or [K h w 2] with `gather`.
      normalization: softmax (authors), s / sum s (paper) or s / sum |s| (2021 reproduction). The last two
        keep their divisor at least 1e-6 away from zero.
      implementation: `factorised` or `gather`.
      window: R; the factorised form sees offsets in [-R, R) only, and whatever lies beyond is lost.

    Returns:
      The aggregated feature in the dtype of `values`, and the affinity.
    """
    normalize = partial(normalize_affinity, normalization=normalization)
    if implementation == "gather":
        return _gather(query, keys, values, offsets, normalize)
    if offsets.ndim != 2:
        raise ValueError("the factorised form needs offsets [K 2] that all positions share; use 'gather'")
    return _factorised(query, keys, values, offsets, normalize, window)


def normalize_affinity(
    logits: Float32[Array, "K h w"], *, normalization: Normalization
) -> Float32[Array, "K h w"]:
    """Weights over K that sum to one (for abs_sum: whose magnitudes do)."""
    if normalization == "softmax":
        return jax.nn.softmax(logits, axis=0)
    if normalization == "sum":
        total = jnp.sum(logits, axis=0, keepdims=True)
        sign = jnp.where(total < 0, -1.0, 1.0)
        return logits / (sign * jnp.maximum(jnp.abs(total), SUM_FLOOR))
    total = jnp.sum(jnp.abs(logits), axis=0, keepdims=True)
    return logits / jnp.maximum(total, SUM_FLOOR)


def _gather(query, keys, values, offsets, normalize: Callable) -> Aggregation:
    logits = _matmul("hwe,khwe->khw", query, sample_at_offsets(keys, offsets))
    affinity = normalize(logits)
    sampled = sample_at_offsets(values, offsets)
    return Aggregation(_matmul("khw,khwc->hwc", affinity, sampled).astype(values.dtype), affinity)


def _factorised(query, keys, values, offsets, normalize: Callable, window: int) -> Aggregation:
    height, width, _ = values.shape
    taps = tap_matrix(offsets, window).reshape(len(offsets), -1)
    correlation = correlate(query, keys, window).reshape(height, width, -1)
    affinity = normalize(_matmul("kq,hwq->khw", taps, correlation))
    weights = _matmul("khw,kq->hwq", affinity, taps).reshape(height, width, 2 * window + 1, -1)
    return Aggregation(blend(weights, values, window).astype(values.dtype), affinity)


def tap_matrix(offsets: Float32[Array, "K 2"], window: int) -> Float32[Array, "K Q Q"]:
    """Bilinear weight of the integer shift (row, column) - window for each offset, Q = 2 window + 1."""
    integer, fraction = split_offsets(offsets)
    shifts = jnp.arange(-window, window + 1)[None, None, :]
    at = integer[..., None]
    t = fraction[..., None]
    hat = jnp.where(shifts == at, 1 - t, 0.0) + jnp.where(shifts == at + 1, t, 0.0)  # [K, (x, y), Q]
    return hat[:, 1, :, None] * hat[:, 0, None, :]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def correlate(
    query: Float[Array, "h w E"], keys: Float[Array, "h w E"], window: int
) -> Float32[Array, "h w Q Q"]:
    """<query(p), keys(p + q)> for every integer shift q = (row, column) - window; keys are 0 outside."""
    height, width, _ = query.shape
    tiles = _Tiles(height, width, window)

    def one(tile):
        products = _matmul("yxe,YXe->yYxX", tile[0], tile[1])
        return _band_of(products, window)

    found = lax.map(one, (tiles.split(query), tiles.split_patches(keys)))
    return tiles.join(found)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def blend(
    weights: Float32[Array, "h w Q Q"], values: Float[Array, "h w C"], window: int
) -> Float32[Array, "h w C"]:
    """sum_q weights(p, q) * values(p + q) over the integer shifts q; values are 0 outside."""
    height, width, _ = values.shape
    tiles = _Tiles(height, width, window)

    def one(tile):
        matrix = _matrix_of(tile[0], window).astype(values.dtype)
        return _matmul("yYxX,YXc->yxc", matrix, tile[1])

    return tiles.join(lax.map(one, (tiles.split(weights), tiles.split_patches(values))))


def _correlate_fwd(query, keys, window):
    return correlate(query, keys, window), (query, keys)


def _correlate_bwd(window, residuals, grad):
    query, keys = residuals
    grad_query = blend(grad, keys, window)
    grad_keys = blend(transpose_shifts(grad, window), query, window)
    return grad_query.astype(query.dtype), grad_keys.astype(keys.dtype)


def _blend_fwd(weights, values, window):
    return blend(weights, values, window), (weights, values)


def _blend_bwd(window, residuals, grad):
    weights, values = residuals
    grad = grad.astype(values.dtype)
    grad_weights = correlate(grad, values, window)
    grad_values = blend(transpose_shifts(weights, window), grad, window)
    return grad_weights, grad_values.astype(values.dtype)


correlate.defvjp(_correlate_fwd, _correlate_bwd)
blend.defvjp(_blend_fwd, _blend_bwd)


def transpose_shifts(weights: Float32[Array, "h w Q Q"], window: int) -> Float32[Array, "h w Q Q"]:
    """u -> v with v(p, q) = u(p + q, -q), zero where p + q lies outside: pairs seen from the other end."""
    flipped = weights[:, :, ::-1, ::-1]
    rows = _shear(jnp.moveaxis(flipped, 2, 0), window)  # [Qy, h, w, Qx]
    columns = _shear(jnp.moveaxis(rows, (3, 2), (0, 1)), window)  # [Qx, w, Qy, h]
    return jnp.transpose(columns, (3, 1, 2, 0))


def _shear(x: Float32[Array, "Q n ..."], window: int) -> Float32[Array, "Q n ..."]:
    """x[j, p] -> x[j, p + j - window]: pad the row, then read with a stride one longer than it is."""
    q, n, *rest = x.shape
    no_pad = [(0, 0)] * len(rest)
    padded = jnp.pad(x, [(0, 0), (window, window), *no_pad]).reshape(q * (n + 2 * window), *rest)
    padded = jnp.pad(padded, [(0, q), *no_pad])
    return padded.reshape(q, n + 2 * window + 1, *rest)[:, :n]


def _band_of(products: Float32[Array, "y Y x X"], window: int) -> Float32[Array, "y x Q Q"]:
    """Read (p, p + q) out of the products of all queries of a tile with all keys of its patch."""
    rows = _read_band(products.reshape(*products.shape[:2], -1), window)  # [y, Qy, x X]
    rows = jnp.transpose(rows.reshape(*rows.shape[:2], *products.shape[2:]), (2, 3, 0, 1))  # [x, X, y, Qy]
    columns = _read_band(rows.reshape(*rows.shape[:2], -1), window)  # [x, Qx, y Qy]
    columns = columns.reshape(*columns.shape[:2], *rows.shape[2:])
    return jnp.transpose(columns, (2, 0, 3, 1))


def _matrix_of(weights: Float32[Array, "y x Q Q"], window: int) -> Float32[Array, "y Y x X"]:
    """The inverse of `_band_of`, zero at the pairs that are out of reach."""
    columns = jnp.transpose(weights, (1, 3, 0, 2))  # [x, Qx, y, Qy]
    rows = _write_band(columns.reshape(*columns.shape[:2], -1), window)  # [x, X, y Qy]
    rows = jnp.transpose(rows.reshape(*rows.shape[:2], *columns.shape[2:]), (2, 3, 0, 1))  # [y, Qy, x, X]
    matrix = _write_band(rows.reshape(*rows.shape[:2], -1), window)
    return matrix.reshape(*matrix.shape[:2], *rows.shape[2:])


def _read_band(matrix: Float32[Array, "n m r"], window: int) -> Float32[Array, "n Q r"]:
    """matrix[i, i + j] for j < Q: the flat index is i (m + 1) + j, so a longer row makes it a slice."""
    n, m, r = matrix.shape
    flat = jnp.pad(matrix.reshape(n * m, r), [(0, n), (0, 0)])
    return flat.reshape(n, m + 1, r)[:, : 2 * window + 1]


def _write_band(band: Float32[Array, "n Q r"], window: int) -> Float32[Array, "n m r"]:
    """The inverse of `_read_band`, zero off the band; m = n + 2 window."""
    n, q, r = band.shape
    m = n + 2 * window
    rows = jnp.pad(band, [(0, 0), (0, m + 1 - q), (0, 0)])
    return rows.reshape(n * (m + 1), r)[: n * m].reshape(n, m, r)


class _Tiles:
    """A map cut into equal tiles, the last ones padded, and the patches that their windows reach."""

    def __init__(self, height: int, width: int, window: int):
        self.height, self.width, self.window = height, width, window
        self.rows, self.columns = -(-height // TILE), -(-width // TILE)
        self.tile_height, self.tile_width = -(-height // self.rows), -(-width // self.columns)

    def split(self, x: Array) -> Array:
        """[h w ...] -> [tiles, tile height, tile width, ...]."""
        rest = x.shape[2:]
        padding = (self.rows * self.tile_height - self.height, self.columns * self.tile_width - self.width)
        x = jnp.pad(x, [(0, padding[0]), (0, padding[1])] + [(0, 0)] * len(rest))
        x = x.reshape(self.rows, self.tile_height, self.columns, self.tile_width, *rest)
        return jnp.swapaxes(x, 1, 2).reshape(-1, self.tile_height, self.tile_width, *rest)

    def join(self, tiles: Array) -> Array:
        """The inverse of `split`."""
        rest = tiles.shape[3:]
        x = tiles.reshape(self.rows, self.columns, self.tile_height, self.tile_width, *rest)
        x = jnp.swapaxes(x, 1, 2).reshape(self.rows * self.tile_height, -1, *rest)
        return x[: self.height, : self.width]

    def split_patches(self, x: Array) -> Array:
        """[h w C] -> [tiles, tile height + 2R, tile width + 2R, C], zero outside the map."""
        reach = 2 * self.window
        bottom = self.rows * self.tile_height - self.height + self.window
        right = self.columns * self.tile_width - self.width + self.window
        x = jnp.pad(x, [(self.window, bottom), (self.window, right), (0, 0)])
        return jnp.stack(
            [
                x[
                    i * self.tile_height : (i + 1) * self.tile_height + reach,
                    j * self.tile_width : (j + 1) * self.tile_width + reach,
                ]
                for i in range(self.rows)
                for j in range(self.columns)
            ]
        )
