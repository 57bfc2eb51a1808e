"""Evaluate a trained detector by the official ImageNet VID metric."""

from lsts_jax import cli
from lsts_jax.commands.evaluate import run

if __name__ == "__main__":
    cli.main(run)
