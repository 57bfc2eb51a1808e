"""The drawn classes of each difficulty of SynthVID."""

from pathlib import Path
from typing import Literal, NamedTuple

from lsts_jax.errors import UserError

Difficulty = Literal["easy", "medium", "hard", "bursts", "bursts16", "bursts24"]


class ObjectClass(NamedTuple):
    """A drawn class: its outline, its texture, and its colour if that identifies the class."""

    name: str
    silhouette: str
    texture: str
    hue: float | None = None  # 0..1; None: any


_EASY = (
    ObjectClass("disc", "disc", "stripes", 0.0),
    ObjectClass("fish", "fish", "checker", 0.075),
    ObjectClass("star", "star", "plain", 0.15),
    ObjectClass("leaf", "leaf", "zigzag", 0.33),
    ObjectClass("arrow", "arrow", "stripes", 0.49),
    ObjectClass("cross", "cross", "dots", 0.61),
    ObjectClass("ring", "ring", "pinwheel", 0.77),
    ObjectClass("heart", "heart", "rings", 0.91),
)
_ADJECTIVES = {
    "stripes": "striped",
    "checker": "checked",
    "dots": "dotted",
    "rings": "ringed",
    "zigzag": "zigzagged",
    "pinwheel": "spoked",
}
_COLOURS = {
    "red": ("disc", 0.0),
    "green": ("heart", 0.36),
    "blue": ("gear", 0.62),
    "yellow": ("flower", 0.14),
}


def _product(silhouettes: tuple[str, ...], textures: tuple[str, ...]) -> tuple[ObjectClass, ...]:
    return tuple(ObjectClass(f"{_ADJECTIVES[t]}_{s}", s, t) for s in silhouettes for t in textures)


def _coloured(colours: int, textures: int) -> tuple[ObjectClass, ...]:
    """Classes of every colour, with its outline, and every texture. A blurred frame still shows
    colour and outline, but hides the texture."""
    return tuple(
        ObjectClass(f"{colour}_{adjective}", silhouette, texture, hue)
        for colour, (silhouette, hue) in list(_COLOURS.items())[:colours]
        for texture, adjective in list(_ADJECTIVES.items())[:textures]
    )


CLASSES: dict[str, tuple[ObjectClass, ...]] = {
    "easy": _EASY,
    "medium": _product(("disc", "star", "heart", "fish", "cross", "leaf"), ("stripes", "dots")),
    "hard": _product(("disc", "gear", "flower", "star"), ("stripes", "checker", "dots", "rings")),
    "bursts": _coloured(3, 4),
    "bursts16": _coloured(4, 4),
    "bursts24": _coloured(4, 6),
}
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    key: tuple(c.name for c in value) for key, value in CLASSES.items()
}


def class_names(difficulty: Difficulty, cutouts: str = "") -> tuple[str, ...]:
    """Names of the classes in order, for `DataConfig.class_names`: the subfolders of `cutouts` by
    name if that is given, else the drawn classes. Raises UserError if there are no subfolders."""
    if not cutouts:
        return CLASS_NAMES[difficulty]
    folder = Path(cutouts)
    if not folder.is_dir():
        raise UserError(
            f"--cutouts {cutouts}: no such folder; give one with a subfolder of PNG files a class"
        )
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if not names:
        raise UserError(
            f"--cutouts {cutouts}: no subfolders; put the RGBA pictures of a class in CLASS/*.png"
        )
    return names
