"""Detect objects in videos, pictures, cameras and streams."""

from lsts_jax import cli
from lsts_jax.commands.predict import run

if __name__ == "__main__":
    cli.main(run)
