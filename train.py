"""Train a detector, or continue the run that the same command began."""

from lsts_jax import cli
from lsts_jax.commands.train import run

if __name__ == "__main__":
    cli.main(run)
