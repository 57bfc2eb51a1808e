"""The method of the paper's text, on SynthVID; authors.py has the command that makes the data.

    python train.py --config configs/variants/paper.py --workdir runs/variants/paper
    python evaluate.py --config configs/variants/paper.py --workdir runs/variants/paper

REPRODUCTION.md compares the results of the three variants.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    authors = load_config(Path(__file__).with_name("authors.py"))
    lsts = replace(authors.model.lsts, normalization="sum", offsets="random")
    return replace(authors, model=replace(authors.model, low2high="paper", quality="paper", lsts=lsts))
