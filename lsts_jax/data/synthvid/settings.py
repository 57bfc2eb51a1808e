"""The user's settings of SynthVID, and the frozen benchmarks."""

from dataclasses import dataclass
from typing import Literal

from lsts_jax.data.synthvid.classes import Difficulty
from lsts_jax.errors import UserError

Benchmark = Literal["s", "m", "l"]


@dataclass(frozen=True)
class SynthVIDConfig:
    """All settings that determine the bytes of a data set; sizes of objects scale with the short
    side."""

    videos: int = 64
    """Number of training videos."""
    val_videos: int = 16
    """Number of validation videos."""
    frames: int = 60
    """Frames per video."""
    height: int = 128
    """Height of the frames in pixels."""
    width: int = 192
    """Width of the frames in pixels."""
    seed: int = 0
    """Random seed; the same seed and settings give the same bytes."""
    difficulty: Difficulty = "easy"
    """easy: every single frame is recognisable. medium: pairs of classes share an outline, and
    colours are random. hard: medium with bursts of blur, defocus and occlusion between clean
    frames. bursts: 12 classes; clean frames are easy, bursts hide the texture that identifies
    the class. bursts16, bursts24: more classes, objects and motion, longer bursts. In all three,
    annotations say which objects are degraded."""
    stills: int = 32
    """Number of single pictures, in the layout of ImageNet DET."""
    cutouts: str = ""
    """Folder with one subfolder of RGBA pictures per class, used instead of the drawn objects."""
    backgrounds: str = ""
    """Folder of photos, used instead of the drawn backgrounds."""
    quality: int = 92
    """Quality of the JPEG files, 1 to 100."""


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
    """Raises UserError naming the first field of `settings` that is out of its range."""
    for name, least in LEAST.items():
        value = getattr(settings, name)
        most = MOST.get(name, value)
        if not least <= value <= most:
            bounds = f"{least} to {MOST[name]}" if name in MOST else f"{least} or more"
            raise UserError(f"--{name.replace('_', '-')} {value}: must be {bounds}")
    if settings.seed < 0:
        raise UserError(f"--seed {settings.seed}: must be 0 or more")
