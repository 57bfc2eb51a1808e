"""The method as the paper's text has it, on SynthVID; see authors.py for the data and REPRODUCTION.md.

python train.py --config configs/variants/paper.py --workdir runs/variants/paper
python evaluate.py --config configs/variants/paper.py --workdir runs/variants/paper
"""

from configs.variants.authors import variant
from lsts_jax.config import Config


def get_config() -> Config:
    return variant(
        low2high="paper",
        quality="paper",
        normalization="sum",
        separate_embeddings=True,
        offsets="random",
    )
