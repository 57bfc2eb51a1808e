"""The method of the PyTorch attempt of 2021, on SynthVID; authors.py has the command that makes the data.

    python train.py --config configs/variants/reproduction.py --workdir runs/variants/reproduction
    python evaluate.py --config configs/variants/reproduction.py --workdir runs/variants/reproduction

Four properties of the attempt are left out: a low-level feature from stage 3 and a high-level feature of stride 32,
whose channels do not fit together; separate offsets for every position; and a new random embedding at every call.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    authors = load_config(Path(__file__).with_name("authors.py"))
    lsts = replace(authors.model.lsts, normalization="abs_sum", separate_embeddings=False, offsets="random")
    return replace(authors, model=replace(authors.model, low2high="paper", quality="paper", lsts=lsts))
