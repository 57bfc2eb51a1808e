"""A small LSTS on SynthVID-s, the benchmark of experiments/, trained in minutes on two CPU cores.

    python -m lsts_jax.data.synthvid --out runs/synthvid_s --benchmark s
    python train.py --config configs/synthvid_s.py --workdir runs/lsts_s
    python evaluate.py --config configs/synthvid_s.py --workdir runs/lsts_s

The twelve classes are four textures in each of three colours; bursts of blur, defocus and occlusion hide the textures.
The detector is that of configs/demo.py with a wider window. Trained from scratch, it learns to use the memory late and
scores less than a detector that starts from a trained single-frame detector, as in
`python -m experiments.run --suite paper`.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    demo = load_config(Path(__file__).with_name("demo.py"))
    # also holds a learned 9 x 9 grid, so that experiments differ only in their offsets
    lsts = replace(demo.model.lsts, window=6)
    return replace(
        demo,
        data=replace(demo.data, root="runs/synthvid_s", class_names=()),
        model=replace(demo.model, lsts=lsts),
        optimizer=replace(demo.optimizer, learning_rate=2e-3, drop_epochs=(1.2,)),
        train=replace(demo.train, batch_size=8, epochs=1.5),
    )
