"""The method of the authors' code, on SynthVID.

    python -m lsts_jax.data.synthvid --out runs/demo/synthvid --videos 120 --val-videos 12 --frames 40
    python train.py --config configs/variants/authors.py --workdir runs/variants/authors
    python evaluate.py --config configs/variants/authors.py --workdir runs/variants/authors

This config, paper.py and reproduction.py differ only in the fields set below; all other fields are those of
configs/demo.py. REPRODUCTION.md compares the results of the three.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    demo = load_config(Path(__file__).parents[1] / "demo.py")
    lsts = replace(demo.model.lsts, normalization="softmax", separate_embeddings=True, offsets="uniform")
    return replace(demo, model=replace(demo.model, low2high="authors", quality="authors", lsts=lsts))
