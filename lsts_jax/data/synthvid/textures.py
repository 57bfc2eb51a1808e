"""Textures of objects and backgrounds. Pictures are float32 RGB in 0..1."""

import colorsys

import cv2
import numpy as np
from jaxtyping import Float32

from lsts_jax.data.synthvid import shapes

Plane = Float32[np.ndarray, "H W"]
Picture = Float32[np.ndarray, "H W 3"]

PLACE_HUES = (0.06, 0.1, 0.14, 0.22, 0.3, 0.36, 0.48, 0.56, 0.62, 0.97)  # earth, wood, grass, sea, brick


def colour(hue: float, saturation: float, value: float) -> Float32[np.ndarray, "3"]:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32)


def mix(a: np.ndarray, b: np.ndarray, weight: Plane) -> Picture:
    """Blends `a` (weight 0) and `b` (weight 1)."""
    return a + weight[..., None] * (b - a)


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, cells: float, *, octaves: int = 7, gain: float = 0.55
) -> Plane:
    """Sum of random grids of `cells`, 2 `cells`, ... cells along the short side, resized; every
    grid is fainter by `gain`. The result is stretched to 0..1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        pitch = min(height, width) / (cells * 2**octave)
        if pitch < 1:
            break
        grid = rng.random((int(height / pitch) + 3, int(width / pitch) + 3), np.float32)
        total += gain**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(total, (1, 99))
    return np.clip((total - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def _edge(wave: np.ndarray, slope: float | np.ndarray) -> Plane:
    """Turns a wave in -1..1 into a pattern of two values with edges about a pixel wide."""
    return np.clip(0.5 + wave * slope, 0, 1).astype(np.float32)


def pattern(rng: np.random.Generator, name: str, side: int, *, varied: bool) -> Plane:
    """Weight (0..1) of the second colour over the square [-1.05, 1.05]². `varied`: with random
    phase, frequency and direction. Periods are wide enough to be visible on objects of 30
    pixels."""
    axis = np.linspace(-1.05, 1.05, side)
    angle = rng.uniform(0, np.pi) if varied else 0.0
    x = axis * np.cos(angle) + axis[:, None] * np.sin(angle)
    y = axis[:, None] * np.cos(angle) - axis * np.sin(angle)
    cycles = rng.uniform(1.5, 1.9) if varied else 1.5  # per unit of length: 3 to 4 over the object
    phase_x, phase_y = rng.uniform(0, 2 * np.pi, 2) if varied else (0.0, 0.0)
    slope = side / (2 * np.pi * cycles * 2.1)
    u, v = 2 * np.pi * cycles * x + phase_x, 2 * np.pi * cycles * y + phase_y
    if name == "plain":
        return 0.35 * fractal_noise(rng, side, side, 3.0, octaves=3)
    if name == "stripes":
        return _edge(np.sin(u), slope)
    if name == "zigzag":
        return _edge(np.sin(u + 1.6 * np.arcsin(np.sin(v))), slope)
    if name == "checker":
        return _edge(np.sin(0.8 * u) * np.sin(0.8 * v), 1.2 * slope)
    if name == "dots":
        return _edge(np.cos(u) + np.cos(v) - 0.55, 0.7 * slope)
    if name == "rings":
        return _edge(np.sin(2 * np.pi * cycles * np.hypot(x, y) + phase_x), slope)
    if name == "pinwheel":
        return _edge(np.sin(5 * np.arctan2(y, x) + phase_x), slope * np.hypot(x, y))
    raise ValueError(f"no texture {name}")


def object_colours(
    rng: np.random.Generator, hue: float | None, contrast: float
) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
    """Two colours of different brightness: vivid colours of the hue if one is given, else any."""
    if hue is not None:
        base = colour(hue + rng.uniform(-0.015, 0.015), rng.uniform(0.8, 0.95), rng.uniform(0.75, 0.95))
        dark = rng.random() < 0.5
        accent = base * rng.uniform(0.3, 0.45) if dark else base + (1 - base) * rng.uniform(0.6, 0.8)
        return base, accent.astype(np.float32)
    hue = rng.random()
    light = colour(hue, rng.uniform(0.1, 0.65), rng.uniform(0.7, 0.98))
    dark = colour(hue + rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.9), rng.uniform(0.15, 0.45))
    dark = light + contrast * (dark - light)
    return (light, dark) if rng.random() < 0.5 else (dark, light)


def paint(
    rng: np.random.Generator,
    texture: str,
    side: int,
    colours: tuple[np.ndarray, np.ndarray],
    alpha: Plane,
    *,
    varied: bool,
) -> Picture:
    """Paints the texture in two colours, shaded like a cushion under a light from a random
    direction."""
    picture = mix(*colours, pattern(rng, texture, side, varied=varied))
    height = cv2.GaussianBlur(alpha, (0, 0), 0.09 * side)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0) * side
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1) * side
    light = rng.uniform(0, 2 * np.pi)
    shade = 0.82 + 0.25 * height + 0.012 * (np.cos(light) * slope_x + np.sin(light) * slope_y)
    return np.clip(picture * shade[..., None], 0, 1).astype(np.float32)


def _palette(rng: np.random.Generator, saturation: float, count: int = 4) -> list[np.ndarray]:
    """Colours as in one place outdoors or indoors: similar hues, except for the last."""
    hue = rng.choice(PLACE_HUES)
    hues = hue + np.append(rng.uniform(-0.08, 0.08, count - 1), rng.uniform(0.3, 0.7))
    values = rng.permutation(np.linspace(0.25, 0.8, count))
    return [colour(h, saturation * rng.uniform(0.4, 1), v) for h, v in zip(hues, values, strict=True)]


def _ground(rng: np.random.Generator, height: int, width: int, palette: list[np.ndarray]) -> Picture:
    """Noise in two colours, with patches of a third."""
    fine = fractal_noise(rng, height, width, rng.uniform(1.5, 5), gain=rng.uniform(0.45, 0.75))
    coarse = fractal_noise(rng, height, width, rng.uniform(1, 2.5))
    patches = np.clip((coarse - rng.uniform(0.45, 0.7)) * rng.uniform(3, 12), 0, 1)
    return mix(mix(palette[0], palette[1], fine), palette[2], 0.7 * patches)


def _tiles(rng: np.random.Generator, height: int, width: int, palette: list[np.ndarray]) -> Picture:
    """Planks, bricks or paving in perspective-free rows, each with its own brightness."""
    short = min(height, width)
    row_height = short * rng.uniform(0.09, 0.22)
    tile_width = row_height * float(rng.choice([1.0, 2.0, 6.0]))
    joint = max(short * 0.008, 0.7)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    row = np.floor(y / row_height)
    x = x + tile_width * 0.5 * (row % 2)
    column = np.floor(x / tile_width)
    shade = rng.uniform(0.75, 1.1, (int(row.max()) + 1, int(column.max()) + 1)).astype(np.float32)
    picture = _ground(rng, height, width, palette) * 0.5 + 0.5 * palette[0]
    picture = picture * shade[row.astype(int), column.astype(int)][..., None]
    border = np.minimum(
        np.minimum(y % row_height, row_height - y % row_height),
        np.minimum(x % tile_width, tile_width - x % tile_width),
    )
    return mix(picture, palette[3] * 0.5, 0.7 * np.clip(1 - border / joint, 0, 1))


def background(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    saturation: float,
    clutter: int,
    decoys: float,
    varied: bool,
) -> Picture:
    """A place: ground, tiles, or land under sky, unevenly lit, with `clutter` things on it. The
    share `decoys` of the things has a texture of the objects (see `pattern`) but none of their
    outlines."""
    palette = _palette(rng, saturation)
    style = rng.choice(["ground", "ground", "tiles", "horizon", "soft"])
    if style == "tiles":
        picture = _tiles(rng, height, width, palette)
    else:
        picture = _ground(rng, height, width, palette)
    if style == "horizon":
        level = height * (rng.uniform(0.3, 0.6) + 0.12 * (fractal_noise(rng, 8, width, 2.0)[:1] - 0.5))
        sky = mix(
            palette[3], np.ones(3, np.float32), np.linspace(0.2, 0.6, height, dtype=np.float32)[:, None]
        )
        above = np.clip(level - np.arange(height, dtype=np.float32)[:, None], 0, 1).astype(np.float32)
        picture = mix(picture, np.broadcast_to(sky, picture.shape), above)
    elif style == "soft":
        picture = cv2.GaussianBlur(picture, (0, 0), 0.05 * min(height, width))
    for _ in range(clutter):
        _scatter(rng, picture, palette, decoy=rng.random() < decoys, varied=varied)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    light = 1 + rng.uniform(0.05, 0.25) * (np.cos(angle) * x + np.sin(angle) * y)
    return np.clip(picture * light[..., None], 0, 1).astype(np.float32)


def _scatter(
    rng: np.random.Generator, picture: Picture, palette: list[np.ndarray], *, decoy: bool, varied: bool
) -> None:
    """Paints one thing of the background into the picture: a blob or a line."""
    height, width = picture.shape[:2]
    short = min(height, width)
    if not decoy and rng.random() < 0.35:
        ends = (rng.uniform(-0.1, 1.1, (2, 2)) * [width, height]).astype(int)
        mask = np.zeros((height, width), np.uint8)
        cv2.line(mask, ends[0], ends[1], 255, max(int(short * rng.uniform(0.01, 0.04)), 1), cv2.LINE_AA)
        shade = palette[rng.integers(4)] * rng.uniform(0.6, 1.1)
        picture[:] = mix(picture, shade.astype(np.float32), mask.astype(np.float32) / 255)
        return
    radius = int(short * rng.uniform(0.05, 0.22)) + 2
    side = 2 * radius + 1
    # an even blob with a texture would look like a disc that nobody annotated
    outline = shapes.blob(rng, 0.6 if decoy else 0.35)
    alpha = shapes.draw(outline, side, float(radius))
    first = palette[rng.integers(4)] * rng.uniform(0.7, 1.2)
    texture = rng.choice(["stripes", "checker", "dots", "rings"]) if decoy else "plain"
    second = first * rng.uniform(0.45, 0.7) if decoy else palette[rng.integers(4)]
    patch = paint(rng, str(texture), side, (first, second), alpha, varied=varied)
    x, y = (rng.uniform(0, 1, 2) * [width, height]).astype(int) - radius
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    inside = slice(top - y, bottom - y), slice(left - x, right - x)
    view = picture[top:bottom, left:right]
    view[:] = mix(view, patch[inside], alpha[inside])
