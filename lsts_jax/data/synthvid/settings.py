"""The user's settings of SynthVID, and the frozen benchmarks."""

from dataclasses import dataclass
from typing import Literal

from lsts_jax.data.synthvid.classes import Difficulty
from lsts_jax.errors import UserError

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
