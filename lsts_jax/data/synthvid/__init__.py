"""SynthVID: seeded videos of drawn objects, in the layout of ILSVRC2015 VID and DET.

    python -m lsts_jax.data.synthvid --out data/synthvid --videos 64 --frames 60 --seed 0

Textured objects move over textured backgrounds, with the difficulties of real video: motion blur,
defocus, occlusion, objects that leave the frame. Boxes are tight around the outline in the middle
of the exposure, clipped to the frame, and include parts that are hidden behind other objects, as
ILSVRC annotates.
"""

from lsts_jax.data.synthvid.classes import CLASS_NAMES, class_names
from lsts_jax.data.synthvid.dataset import render_dataset
from lsts_jax.data.synthvid.settings import BENCHMARKS, SynthVIDConfig

__all__ = ["BENCHMARKS", "CLASS_NAMES", "SynthVIDConfig", "class_names", "render_dataset"]
