"""Settings of SynthVID: the user's, the classes, and the recipe of each difficulty."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from lsts_jax.errors import UserError

Difficulty = Literal["easy", "medium", "hard", "bursts", "bursts16", "bursts24"]
Benchmark = Literal["s", "m", "l"]


@dataclass(frozen=True)
class SynthVIDConfig:
    """Everything that decides the bytes of a data set; sizes of things scale with the short side."""

    videos: int = 64
    """Training videos."""
    val_videos: int = 16
    """Validation videos."""
    frames: int = 60
    """Frames of a video."""
    height: int = 128
    """Pixels."""
    width: int = 192
    """Pixels."""
    seed: int = 0
    """Same seed and fields: same bytes."""
    difficulty: Difficulty = "easy"
    """easy: every single frame is recognisable. medium: two classes share a silhouette, of any colour.
    hard: medium with bursts of blur, defocus and occlusion between clean frames.
    bursts: clean frames are easy, bursts hide the texture that tells the class; 12 classes. bursts16,
    bursts24: more classes, objects and motion, longer bursts. These mark what is degraded."""
    stills: int = 32
    """Single pictures in the layout of ImageNet DET."""
    cutouts: str = ""
    """Folder with a subfolder of RGBA pictures for each class, used instead of the drawn objects."""
    backgrounds: str = ""
    """Folder of photos, used instead of the drawn backgrounds."""
    quality: int = 92
    """Quality of the JPEG files, 1 to 100."""


class ObjectClass(NamedTuple):
    """A drawn class: its outline, what is painted on it, and its colour if that says anything."""

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
    """Colour and outline, which a blurred frame still shows, are shared by as many classes as there are
    textures, which it does not show."""
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
    """Names of the classes in order, as `DataConfig.class_names` wants them: the subfolders of `cutouts`
    by name if that is given, else the drawn classes. Raises UserError if there are no subfolders."""
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


Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """Parameters of a difficulty. Lengths in short sides of the frame, times in frames, angles in radians.

    A burst is a few frames of trouble (`burst_length`) between clean ones (`*_every`, the mean gap;
    0: never).
    """

    objects: tuple[int, int] = (1, 3)
    diameter: Range = (0.28, 0.56)
    zoom: float = 0.15  # |log size change| over a video
    speed: Range = (0.006, 0.024)
    tilt: float = 0.35  # |angle| of the first frame
    spin: float = 0.015  # |angular velocity|
    leave: float = 0.12  # chance that a way point lies outside of the frame
    shutter: Range = (0.3, 0.6)  # exposure; 1 = until the next frame
    pan: float = 0.0  # amplitude of the camera's path
    defocus: float = 0.004  # standard deviation of the blur at most, outside of bursts
    occluders: tuple[int, int] = (0, 1)
    occluder: Range = (0.03, 0.07)  # half width
    burst_length: Range = (2.0, 5.0)
    dash_every: float = 0.0
    dash: float = 0.0  # speed added to an object
    whirl_every: float = 0.0
    whirl: float = 0.0  # angular velocity added to an object
    shake_every: float = 0.0
    shake: float = 0.0  # amplitude of the camera's trembling
    defocus_every: float = 0.0
    defocus_burst: float = 0.0
    clutter: tuple[int, int] = (2, 6)
    decoys: float = 0.0  # share of clutter that carries an object's texture
    saturation: float = 0.35  # of the background, at most
    contrast: float = 1.0  # of an object's texture
    noise: float = 2.5  # standard deviation, grey levels
    varied_textures: bool = True  # each at an angle, phase and frequency of its own
    marks: bool = False  # annotations say which objects are degraded


_BURSTS = Recipe(
    objects=(1, 3),
    diameter=(0.36, 0.62),
    zoom=0.2,
    speed=(0.006, 0.03),
    tilt=0.3,
    spin=0.01,
    leave=0.1,
    shutter=(0.3, 0.6),
    pan=0.1,
    defocus=0.004,
    occluders=(0, 1),
    occluder=(0.07, 0.15),
    burst_length=(3.0, 6.0),
    dash_every=70.0,
    dash=0.12,
    whirl_every=70.0,
    whirl=1.6,
    shake_every=80.0,
    shake=0.06,
    defocus_every=24.0,
    defocus_burst=0.07,
    clutter=(2, 6),
    decoys=0.0,
    saturation=0.4,
    contrast=1.0,
    noise=3.0,
    varied_textures=False,
    marks=True,
)
RECIPES: dict[str, Recipe] = {
    "easy": Recipe(),
    "medium": Recipe(
        objects=(1, 4),
        diameter=(0.24, 0.56),
        zoom=0.3,
        speed=(0.006, 0.03),
        tilt=3.2,
        spin=0.05,
        leave=0.2,
        shutter=(0.3, 0.8),
        pan=0.12,
        defocus=0.008,
        occluders=(0, 2),
        occluder=(0.05, 0.12),
        dash_every=30.0,
        dash=0.08,
        shake_every=40.0,
        shake=0.03,
        defocus_every=30.0,
        defocus_burst=0.03,
        clutter=(4, 12),
        decoys=0.15,
        saturation=0.45,
        contrast=0.85,
        noise=4.0,
    ),
    "hard": Recipe(
        objects=(2, 5),
        diameter=(0.2, 0.56),
        zoom=0.45,
        speed=(0.006, 0.03),
        tilt=3.2,
        spin=0.08,
        leave=0.25,
        shutter=(0.4, 0.9),
        pan=0.2,
        defocus=0.01,
        occluders=(1, 3),
        occluder=(0.07, 0.17),
        burst_length=(2.0, 5.0),
        dash_every=34.0,
        dash=0.16,
        whirl_every=38.0,
        whirl=1.6,
        shake_every=45.0,
        shake=0.07,
        defocus_every=30.0,
        defocus_burst=0.06,
        clutter=(8, 20),
        decoys=0.4,
        saturation=0.55,
        contrast=0.7,
        noise=6.0,
    ),
    "bursts": _BURSTS,
    "bursts16": replace(
        _BURSTS,
        objects=(2, 5),
        diameter=(0.26, 0.5),
        zoom=0.3,
        speed=(0.006, 0.045),
        tilt=0.4,
        leave=0.15,
        pan=0.15,
        occluders=(0, 2),
        burst_length=(4.0, 9.0),
        dash=0.14,
        defocus_every=32.0,
        clutter=(4, 10),
        noise=4.0,
    ),
    "bursts24": replace(
        _BURSTS,
        objects=(3, 7),
        diameter=(0.2, 0.42),
        zoom=0.4,
        speed=(0.006, 0.06),
        tilt=0.5,
        leave=0.2,
        pan=0.2,
        occluders=(1, 2),
        burst_length=(5.0, 12.0),
        dash=0.16,
        defocus_every=36.0,
        clutter=(6, 14),
        decoys=0.1,
        noise=5.0,
    ),
}

BENCHMARKS: dict[Benchmark, SynthVIDConfig] = {
    "s": SynthVIDConfig(
        videos=240, val_videos=40, frames=40, height=128, width=192, difficulty="bursts", stills=4000
    ),
    "m": SynthVIDConfig(
        videos=480, val_videos=80, frames=60, height=256, width=384, difficulty="bursts16", stills=8000
    ),
    "l": SynthVIDConfig(
        videos=600, val_videos=100, frames=60, height=480, width=720, difficulty="bursts24", stills=12000
    ),
}  # frozen: another picture is another benchmark

LEAST = {"videos": 0, "val_videos": 0, "frames": 1, "height": 32, "width": 32, "stills": 0, "quality": 1}
MOST = {"quality": 100, "frames": 1_000_000}  # six digits name a frame


def check(settings: SynthVIDConfig) -> None:
    """Raise UserError naming the first field of `settings` that is out of its range."""
    for name, least in LEAST.items():
        value = getattr(settings, name)
        most = MOST.get(name, value)
        if not least <= value <= most:
            bounds = f"{least} to {MOST[name]}" if name in MOST else f"{least} or more"
            raise UserError(f"--{name.replace('_', '-')} {value}: must be {bounds}")
    if settings.seed < 0:
        raise UserError(f"--seed {settings.seed}: must be 0 or more")
