"""A map cut into tiles, each with the patch of the map that its positions reach.

A matrix [T S] of products between the T positions of a tile and the S positions of its patch holds, for all
shifts q of a window, the band [T QQ] of the products of p and p + q. `read_band` and `write_band` go from one
to the other; `ops/affinity.py` computes with them.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int, Int32

Size = tuple[int, int]  # height, width
# Largest tile, in cells. Larger tiles waste products on pairs that are out of reach, smaller ones make
# products too small to be fast (measured on two CPU cores).
TILE: Size = (5, 10)
# Numbers and places of tiles are int32, also where Python's integers become int64 (jax_enable_x64).
ORIGIN = np.int32(0)


class Tiles(NamedTuple):
    """A map cut into equal tiles, row by row. All fields are static.

    The last tile of a row or a column is moved inside the map and overlaps the one before; so are patches
    that would reach beyond the map, outside of which keys and values are zero.
    """

    size: Size  # of the map, as all sizes (height, width)
    window: int  # R
    count: Size
    tile: Size  # T = th tw positions
    patch: Size  # S = ph pw positions: all of the map that a tile reaches


class Place(NamedTuple):
    """Position of a tile."""

    tile: Int32[Array, "2"]  # its first position (row, column)
    patch: Int32[Array, "2"]  # that of its patch
    overlap: Int32[Array, "2"]  # rows and columns at its start that belong to the tile before


def cut_tiles(size: Size, window: int, *, dense: bool) -> Tiles:
    """Tiles sized for the caches of a CPU; `dense`: the whole map as one tile, for accelerators."""

    # cutting a side saves nothing if the patch spans it anyway
    def cut(side: int, most: int) -> tuple[int, int, int]:
        count = 1 if dense or side <= most + 2 * window else -(-side // most)
        tile = -(-side // count)
        return count, tile, min(side, tile + 2 * window)

    count, tile, patch = zip(cut(size[0], TILE[0]), cut(size[1], TILE[1]), strict=True)
    return Tiles(size, window, count, tile, patch)


def place_of(tiles: Tiles, index: Int[Array, ""]) -> Place:
    """Position of the tile with this index, row by row."""

    def inside(start, extent):
        return jnp.clip(start, 0, jnp.array(tiles.size, jnp.int32) - jnp.array(extent, jnp.int32))

    place = jnp.divmod(index.astype(jnp.int32), jnp.int32(tiles.count[1]))
    planned = jnp.stack(place) * jnp.array(tiles.tile, jnp.int32)
    start = inside(planned, tiles.tile)
    return Place(start, inside(start - tiles.window, tiles.patch), planned - start)


def read_band(matrix: Float32[Array, "T S"], place: Place, tiles: Tiles) -> Float32[Array, "T QQ"]:
    """(p, p + q) for all positions p of a tile and shifts q; 0 where p + q lies outside the map."""
    lag = place.tile - tiles.window - place.patch
    shift = jnp.arange(2 * tiles.window + 1, dtype=jnp.int32)[None, :]
    rows, columns = (
        shift + jnp.arange(n, dtype=jnp.int32)[:, None] + lag[axis] for axis, n in enumerate(tiles.tile)
    )
    return _look_up(matrix, tiles.patch, rows, columns)


def write_band(band: Float32[Array, "T QQ"], place: Place, tiles: Tiles) -> Float32[Array, "T S"]:
    """The transpose of `read_band`: 0 at the pairs out of reach."""
    lag = place.tile - tiles.window - place.patch
    rows, columns = (
        jnp.arange(m, dtype=jnp.int32)[None, :] - jnp.arange(n, dtype=jnp.int32)[:, None] - lag[axis]
        for axis, (m, n) in enumerate(zip(tiles.patch, tiles.tile, strict=True))
    )
    side = 2 * tiles.window + 1
    return _look_up(band, (side, side), rows, columns)


def _look_up(
    table: Float32[Array, "T NM"], size: Size, rows: Int32[Array, "th A"], columns: Int32[Array, "tw B"]
) -> Float32[Array, "T AB"]:
    """table[(y, x), (rows[y, a], columns[x, b])] for all positions (y, x) of a tile and all a, b.

    The second axis of `table` runs over N x M = `size`, rows and columns outside of which give 0.
    """
    rows, columns = rows[:, None, :, None], columns[None, :, None, :]
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    position = jnp.arange(len(table), dtype=jnp.int32).reshape(len(rows), -1, 1, 1)
    entry = (position * size[0] + rows) * size[1] + columns
    found = table.reshape(-1).at[jnp.where(inside, entry, 0)].get(mode="promise_in_bounds")
    return jnp.where(inside, found, 0).reshape(len(table), -1)


def take(x: Float[Array, "h w C"], start: Int32[Array, "2"], size: Size) -> Float[Array, "S C"]:
    """The positions of a rectangle, row by row."""
    return lax.dynamic_slice(x, (*start, ORIGIN), (*size, x.shape[2])).reshape(-1, x.shape[2])


def put(
    x: Float[Array, "h w C"], part: Float32[Array, "S C"], start: Int32[Array, "2"], size: Size
) -> Float[Array, "h w C"]:
    """The inverse of `take`."""
    return lax.dynamic_update_slice(x, part.reshape(*size, -1).astype(x.dtype), (*start, ORIGIN))


def add(
    x: Float32[Array, "h w C"], part: Float32[Array, "S C"], start: Int32[Array, "2"], size: Size
) -> Float32[Array, "h w C"]:
    """The transpose of `take`, added to `x`."""
    return put(x, take(x, start, size) + part, start, size)
