"""The temporal methods by name. A new one is a file here, its config dataclass, and a line in METHODS; one
that stands outside the package is named by its file and class (`load_method`)."""

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lsts_jax.config import ModelConfig
from lsts_jax.errors import UserError
from lsts_jax.models.temporal.copy import Copy
from lsts_jax.models.temporal.dff import DFF
from lsts_jax.models.temporal.lsts import LSTS
from lsts_jax.models.temporal.protocol import Temporal
from lsts_jax.models.temporal.single import Single

METHODS: dict[str, Callable[[ModelConfig], Temporal]] = {
    "lsts": LSTS.from_config,
    "srfu": partial(LSTS.from_config, has_dfa=False),
    "dfa": partial(LSTS.from_config, has_srfu=False),
    "copy": Copy.from_config,
    "dff": DFF.from_config,
    "none": Single.from_config,
}


def build_temporal(config: ModelConfig) -> Temporal:
    """The method that `config.temporal` names.

    Raises `UserError` where it is neither a name of METHODS nor FILE.py:CLASS of a method.
    """
    name = config.temporal
    if name in METHODS:
        return METHODS[name](config)
    file, _, class_name = name.rpartition(":")
    if not file.endswith(".py"):
        raise UserError(
            f"config.model.temporal is {name!r}; expected {', '.join(METHODS)}, or FILE.py:CLASS for a "
            "method of your own"
        )
    return load_method(Path(file), class_name).from_config(config)


def load_method(file: Path, class_name: str) -> type[Temporal]:
    """A method's class from a Python file. Raises `UserError` where the file has none of that name."""
    if not file.is_file():
        raise UserError(f"config.model.temporal: {file}: no such file")
    spec = importlib.util.spec_from_file_location(f"lsts_jax_method_{file.stem}", file)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    method = getattr(module, class_name, None)
    if not (isinstance(method, type) and issubclass(method, Temporal)):
        raise UserError(f"config.model.temporal: {file} defines no Temporal named {class_name!r}")
    return method
