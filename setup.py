"""The packages; pyproject.toml has all else. The folder configs/ is installed as lsts_jax/configs."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["lsts_jax*"]), "lsts_jax.configs", "lsts_jax.configs.variants"],
    package_dir={"lsts_jax.configs": "configs"},
)
