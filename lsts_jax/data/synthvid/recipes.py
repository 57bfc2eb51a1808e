"""Random parameters of every difficulty of SynthVID: sizes, motion, bursts, clutter and noise."""

from dataclasses import dataclass, replace

Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """Parameters of a difficulty. Lengths in short sides of the frame, times in frames, angles in
    radians.

    A burst is a few degraded frames (`burst_length`) between clean ones (`*_every`, the mean gap;
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
    saturation: float = 0.35  # largest contrast of the background
    contrast: float = 1.0  # contrast of an object's texture
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
