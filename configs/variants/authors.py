"""The method as the authors' code has it, on SynthVID; beside it paper.py and reproduction.py.

    python -m lsts_jax.data.synthvid --out runs/demo/synthvid --videos 120 --val-videos 12 --frames 40
    python train.py --config configs/variants/authors.py --workdir runs/variants/authors
    python evaluate.py --config configs/variants/authors.py --workdir runs/variants/authors

The three differ in the fields below and in nothing else; all the rest is configs/demo.py. REPRODUCTION.md has
what came of them.
"""

from dataclasses import replace

from configs.demo import get_config as demo
from lsts_jax.config import Config


def get_config() -> Config:
    return variant(
        low2high="authors",
        quality="authors",
        normalization="softmax",
        separate_embeddings=True,
        offsets="uniform",
    )


def variant(
    *, low2high: str, quality: str, normalization: str, separate_embeddings: bool, offsets: str
) -> Config:
    """The experiment with what the three sources disagree on."""
    config = demo()
    lsts = replace(
        config.model.lsts,
        normalization=normalization,
        separate_embeddings=separate_embeddings,
        offsets=offsets,
    )
    return replace(config, model=replace(config.model, low2high=low2high, quality=quality, lsts=lsts))
