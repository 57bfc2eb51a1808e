"""Strict JAX and executed shapes: the tests run the package under jaxtyping's import hook."""

import gc
import os
from pathlib import Path

# Tracing makes millions of objects that stay: collecting garbage among them took a sixth of the time.
gc.set_threshold(100_000, 50, 100)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Test programs are tiny: compiling them is what takes the time.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)
# Shared by the workers and the processes that tests start, programs of a single operation included.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".jax_cache"))

from runpy import run_path
from types import SimpleNamespace

from jaxtyping import install_import_hook

hook = install_import_hook("lsts_jax", "beartype.beartype")
hook.__enter__()

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.training.pretrained.authors import convert_authors

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the reference arrays and videos, which the product does not need."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is absent: {SHARED.name}/ does not lie beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def flow_params(shared):
    """The script that makes parameters under the authors' names, for DFF, FGFA and deformable convolution."""
    return SimpleNamespace(**run_path(str(shared / "fixtures" / "make_flow_params.py")))


@pytest.fixture(scope="session")
def authors_variables(flow_params):
    """`authors_variables("dff" | "fgfa" | "dcn")`: variables of the whole detector, converted."""

    def convert(method):
        variables, left_over = convert_authors(flow_params.detector_params(method)[0], split=4)
        assert not left_over
        return jax.tree.map(jnp.asarray, variables)

    return convert


class Reference(dict):
    """Arrays by name; a test that asks for one that is not stored here needs the reference data."""

    def __missing__(self, name):
        pytest.skip(
            f"{name} is not among tests/fixtures, and {SHARED.name}/ does not lie beside the checkout"
        )


@pytest.fixture(scope="session")
def authors_ops() -> dict[str, np.ndarray]:
    """Inputs and outputs of the authors' operators."""
    arrays = Reference()
    for file in (
        SHARED / "fixtures" / "lsts_ops.npz",
        Path(__file__).parent / "fixtures" / "authors_ops.npz",
    ):
        if file.is_file():
            with np.load(file) as archive:
                arrays |= archive
    return arrays


@pytest.fixture(scope="session")
def authors_temporal() -> dict[str, np.ndarray]:
    """Inputs and outputs of the operators of DFF, FGFA and deformable convolution."""
    with np.load(Path(__file__).parent / "fixtures" / "authors_temporal.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def authors_training(shared) -> dict[str, np.ndarray]:
    """Anchor labels, RoI targets, OHEM, losses and optimizer steps of the authors' code."""
    with np.load(shared / "fixtures" / "lsts_training.npz") as archive:
        return dict(archive)
