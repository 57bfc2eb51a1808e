"""Train a detector, or go on where an earlier run of the same command stopped."""

from lsts_jax import cli
from lsts_jax.commands.train import run

if __name__ == "__main__":
    cli.main(run)
