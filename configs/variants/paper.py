"""The method as the paper's text has it, on SynthVID; see authors.py for the data and REPRODUCTION.md.

python train.py --config configs/variants/paper.py --workdir runs/variants/paper
python evaluate.py --config configs/variants/paper.py --workdir runs/variants/paper
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    authors = load_config(Path(__file__).with_name("authors.py"))
    lsts = replace(authors.model.lsts, normalization="sum", offsets="random")
    return replace(authors, model=replace(authors.model, low2high="paper", quality="paper", lsts=lsts))
