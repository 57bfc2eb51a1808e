"""Affinity and aggregation over learned sampling locations (paper, section 3.2, equations 1 to 4).

For every position p of the target and every sampling offset o_k:

    logits[k, p]   = <query(p), keys(p + o_k)>
    affinity[:, p] = normalise over k
    out(p)         = sum_k affinity[k, p] * values(p + o_k)

Two forms of the same function. `gather` samples keys and values K times, as written above.
`factorised` uses the fact that bilinear sampling at a shared offset is a fixed blend of integer shifts. With
the tap matrix A[k, q] (the paper's kernel G at shift q of a window |q| <= R):

    logits[k, p] = sum_q A[k, q] * corr(p, q)        corr(p, q) = <query(p), keys(p + q)>
    out(p)       = sum_q blend(p, q) * values(p + q)  blend(p, q) = sum_k affinity[k, p] * A[k, q]

so that no array of size K x C x h x w exists and the cost does not depend on K. The map is cut into tiles
(`ops/tiles.py`), and the positions of a tile are compared with the whole patch within their reach: one dense
product, of which corr(p, q) is a band. blend(p, q), written as such a band, is the matrix that multiplies the
patch's values.
The gradient uses the transposed products, tile by tile, and stores only the inputs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32
from numpy import ndarray

from lsts_jax.ops.sampling import sample_at_offsets, split_offsets
from lsts_jax.ops.tiles import (
    ORIGIN,
    Tiles,
    add,
    cut_tiles,
    place_of,
    put,
    read_band,
    take,
    write_band,
)

Normalization = Literal["softmax", "sum", "abs_sum"]
Implementation = Literal["factorised", "gather"]

# Tiles in one step of the loop: their small operations run side by side.
TILES_AT_ONCE = 4
# Smallest divisor of the normalisations that divide by a sum of signed similarities.
SUM_FLOOR = 1e-6


Product = Callable[[str, Array, Array], Array]


def _matmul(equation: str, a: Float[Array, "*a"], b: Float[Array, "*b"]) -> Float32[Array, "*c"]:
    """`einsum` that accumulates in float32 and does not round float32 operands.

    For two bfloat16 operands the highest precision would not change the result, but would slow down GPUs.
    """
    is_rounded = a.dtype == b.dtype == jnp.bfloat16
    precision = lax.Precision.DEFAULT if is_rounded else lax.Precision.HIGHEST
    return jnp.einsum(equation, a, b, precision=precision, preferred_element_type=jnp.float32)


def _six_bfloat16(equation: str, a: Float[Array, "*a"], b: Float[Array, "*b"]) -> Float32[Array, "*c"]:
    """`_matmul` for NVIDIA's tensor cores: float32 operands in three bfloat16 parts each, six products.

    By the data sheets these cost as much as three TF32 products, which a program for CPU and CUDA at once
    cannot contain.
    """
    if a.dtype != jnp.float32 or b.dtype != jnp.float32:
        return _matmul(equation, a, b)
    return jnp.einsum(equation, a, b, precision=lax.DotAlgorithmPreset.BF16_BF16_F32_X6)


class Aggregation(NamedTuple):
    feature: Float[Array, "h w C"]
    affinity: Float32[Array, "K h w"]


def aggregate(
    query: Float[Array, "h w E"],
    keys: Float[Array, "h w E"],
    values: Float[Array, "h w C"],
    offsets: Float32[Array, "*K 2"],
    *,
    normalization: Normalization,
    implementation: Implementation,
    window: int,
) -> Aggregation:
    """Samples keys and values at p + offsets and sums the values, weighted by their affinity to query(p).

    Args:
      query: embedding of the target.
      keys: embedding of the source, zero outside the map (locations there have logit 0 and count).
      values: the source itself.
      offsets: sampling offsets (x, y) in cells; [K 2], or [K h w 2] with `gather`.
      normalization: softmax (authors), s / sum s (paper) or s / sum |s| (2021 reproduction). The magnitude
        of the divisor of the last two is at least 1e-6.
      implementation: `factorised` or `gather`.
      window: R; offsets outside [-R, R) sample nothing in the factorised form.

    Returns:
      The aggregated feature in the dtype of `values`, and the affinity.
    """
    if implementation == "gather":
        return _gather(query, keys, values, offsets, normalization)
    if offsets.ndim != 2:
        raise ValueError("the factorised form needs offsets [K 2] that all positions share; use 'gather'")
    return _factorised(query, keys, values, offsets, normalization, window)


def normalize_affinity(
    logits: Float32[Array, "K *p"], *, normalization: Normalization
) -> Float32[Array, "K *p"]:
    """Weights over K that sum to one (abs_sum: whose magnitudes sum to one)."""
    if normalization == "softmax":
        return jax.nn.softmax(logits, axis=0)
    if normalization == "sum":
        total = jnp.sum(logits, axis=0, keepdims=True)
        sign = jnp.where(total < 0, -1.0, 1.0)
        return logits / (sign * jnp.maximum(jnp.abs(total), SUM_FLOOR))
    total = jnp.sum(jnp.abs(logits), axis=0, keepdims=True)
    return logits / jnp.maximum(total, SUM_FLOOR)


def _gather(query, keys, values, offsets, normalization: Normalization) -> Aggregation:
    logits = _matmul("hwe,khwe->khw", query, sample_at_offsets(keys, offsets))
    affinity = normalize_affinity(logits, normalization=normalization)
    sampled = sample_at_offsets(values, offsets)
    return Aggregation(_matmul("khw,khwc->hwc", affinity, sampled).astype(values.dtype), affinity)


def _factorised(query, keys, values, offsets, normalization: Normalization, window: int) -> Aggregation:
    taps = tap_matrix(offsets, window).reshape(len(offsets), -1)
    # `custom_vjp` hides the type of the result
    return Aggregation(*_by_tiles(query, keys, values, taps, window, normalization))  # pyright: ignore[reportGeneralTypeIssues]


def smallest_window(offsets: Float[Array | ndarray, "K 2"]) -> int:
    """The smallest R whose window covers all offsets. Call it outside `jit`: it needs concrete values."""
    return int(np.floor(np.abs(np.asarray(offsets)).max())) + 1


def tap_matrix(offsets: Float32[Array, "K 2"], window: int) -> Float32[Array, "K Q Q"]:
    """Bilinear weight of the integer shift (row, column) - window for each offset, Q = 2 window + 1."""
    integer, fraction = split_offsets(offsets)
    shifts = jnp.arange(-window, window + 1)[None, None, :]
    at = integer[..., None]
    t = fraction[..., None]
    hat = jnp.where(shifts == at, 1 - t, 0.0) + jnp.where(shifts == at + 1, t, 0.0)  # [K, (x, y), Q]
    return hat[:, 1, :, None] * hat[:, 0, None, :]


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _by_tiles(
    query: Float[Array, "h w E"],
    keys: Float[Array, "h w E"],
    values: Float[Array, "h w C"],
    taps: Float32[Array, "K QQ"],
    window: int,
    normalization: Normalization,
) -> tuple[Float[Array, "h w C"], Float32[Array, "K h w"]]:
    """The aggregated feature and the affinity."""
    return _for_platform(partial(_sums, normalization), window, query, keys, values, taps)


def _for_platform(call: Callable, window: int, *arrays: Array) -> Any:
    """`call(tiles, product, *arrays)`, both for the target platform. `arrays[2]`: the values."""
    h, w, _ = arrays[2].shape
    on = lambda dense, product: partial(call, cut_tiles((h, w), window, dense=dense), product)
    return lax.platform_dependent(
        *arrays, cpu=on(False, _matmul), cuda=on(True, _six_bfloat16), default=on(True, _matmul)
    )


def _sums(
    normalization: Normalization, tiles: Tiles, product: Product, query, keys, values, taps
) -> tuple[Array, Array]:
    """`_by_tiles`, tile by tile."""

    def visit(index, state):
        feature, affinity = state
        place = place_of(tiles, index)
        q = take(query, place.tile, tiles.tile)  # [T E]
        k, v = (take(x, place.patch, tiles.patch) for x in (keys, values))  # [S E], [S C]
        band, weights = _weigh(read_band(product("te,se->ts", q, k), place, tiles), taps, normalization)
        matrix = write_band(band, place, tiles).astype(v.dtype)
        feature = put(feature, product("ts,sc->tc", matrix, v), place.tile, tiles.tile)
        weights = weights.reshape(-1, *tiles.tile)
        return feature, lax.dynamic_update_slice(affinity, weights, (ORIGIN, *place.tile))

    empty = jnp.zeros_like(values), jnp.zeros((len(taps), *tiles.size), jnp.float32)
    return lax.fori_loop(0, tiles.count[0] * tiles.count[1], visit, empty, unroll=TILES_AT_ONCE)


def _by_tiles_fwd(query, keys, values, taps, window, normalization):
    inputs = query, keys, values, taps
    return _by_tiles(*inputs, window, normalization), inputs


def _by_tiles_bwd(window, normalization, inputs, grads):
    return _for_platform(partial(_gradients, normalization), window, *inputs, *grads)


def _gradients(
    normalization: Normalization,
    tiles: Tiles,
    product: Product,
    query,
    keys,
    values,
    taps,
    d_feature,
    d_affinity,
) -> tuple[Array, ...]:
    """Recomputes the weights of each tile; names as in `_by_tiles`, d for gradient."""
    inputs = query, keys, values, taps

    def visit(index, state):
        d_query, d_keys, d_values, d_taps = state
        place = place_of(tiles, index)
        q = take(query, place.tile, tiles.tile)
        k, v = (take(x, place.patch, tiles.patch) for x in (keys, values))
        # A position in two tiles counts in the first.
        rows, columns = (
            jnp.arange(n, dtype=jnp.int32) >= before
            for n, before in zip(tiles.tile, place.overlap, strict=True)
        )
        own = (rows[:, None] & columns[None, :]).reshape(-1)
        d_out = jnp.where(own[:, None], take(d_feature, place.tile, tiles.tile), 0)
        d_weights = lax.dynamic_slice(d_affinity, (ORIGIN, *place.tile), (len(taps), *tiles.tile))
        d_weights = jnp.where(own[None, :], d_weights.reshape(len(taps), -1), 0)

        correlation = read_band(product("te,se->ts", q, k), place, tiles)
        weigh = partial(_weigh, normalization=normalization)
        (band, _), weigh_vjp = jax.vjp(weigh, correlation, taps)
        matrix = write_band(band, place, tiles).astype(v.dtype)
        d_values = add(d_values, product("ts,tc->sc", matrix, d_out), place.patch, tiles.patch)
        d_band = read_band(product("tc,sc->ts", d_out, v), place, tiles)
        d_correlation, d_taps_here = weigh_vjp((d_band, d_weights))
        d_matrix = write_band(d_correlation, place, tiles).astype(k.dtype)
        d_keys = add(d_keys, product("ts,te->se", d_matrix, q), place.patch, tiles.patch)
        d_query = add(d_query, product("ts,se->te", d_matrix, k), place.tile, tiles.tile)
        return d_query, d_keys, d_values, d_taps + d_taps_here

    zeros = tuple(jnp.zeros(x.shape, jnp.float32) for x in inputs)
    sums = lax.fori_loop(0, tiles.count[0] * tiles.count[1], visit, zeros, unroll=TILES_AT_ONCE)
    return tuple(total.astype(x.dtype) for total, x in zip(sums, inputs, strict=True))


_by_tiles.defvjp(_by_tiles_fwd, _by_tiles_bwd)


def _weigh(
    correlation: Float32[Array, "T QQ"], taps: Float32[Array, "K QQ"], normalization: Normalization
) -> tuple[Float32[Array, "T QQ"], Float32[Array, "K T"]]:
    """blend(p, q), and the affinity, of the positions of a tile.

    Its products are small: on a GPU six bfloat16 products for each would only be more launches.
    """
    affinity = normalize_affinity(_matmul("kq,tq->kt", taps, correlation), normalization=normalization)
    # transposed here, since jax2onnx drops a product's contraction over two first axes inside a loop
    return _matmul("tk,kq->tq", affinity.T, taps), affinity
