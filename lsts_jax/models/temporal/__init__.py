"""The temporal methods by name. A new one is a file here, its config dataclass, and a line in METHODS. A
method outside the package is named by file and class (`load_method`)."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType

from lsts_jax.config import ModelConfig
from lsts_jax.errors import UserError
from lsts_jax.models.temporal.copy import Copy
from lsts_jax.models.temporal.dff import DFF
from lsts_jax.models.temporal.fgfa import FGFA
from lsts_jax.models.temporal.lsts import LSTS
from lsts_jax.models.temporal.protocol import Temporal
from lsts_jax.models.temporal.single import Single
from lsts_jax.models.temporal.thp import THP

METHODS: dict[str, Callable[[ModelConfig], Temporal]] = {
    "lsts": LSTS.from_config,
    "srfu": partial(LSTS.from_config, has_dfa=False),
    "dfa": partial(LSTS.from_config, has_srfu=False),
    "copy": Copy.from_config,
    "dff": DFF.from_config,
    "fgfa": FGFA.from_config,
    "thp": THP.from_config,
    "none": Single.from_config,
}


def build_temporal(config: ModelConfig) -> Temporal:
    """The method that `config.temporal` names.

    Raises `UserError` if it is neither a name in METHODS nor FILE.py:CLASS of a method.
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
    """Class of a method, from a Python file. Raises `UserError` if the file does not define it."""
    if not file.is_file():
        raise UserError(f"config.model.temporal: {file}: no such file")
    method = getattr(_load_file(file.resolve(), file.stat().st_mtime_ns), class_name, None)
    if not (isinstance(method, type) and issubclass(method, Temporal)):
        raise UserError(f"config.model.temporal: {file} defines no Temporal named {class_name!r}")
    return method


@lru_cache(maxsize=16)
def _load_file(file: Path, changed: int) -> ModuleType:
    """Module of a file with a given time of change; files of the same name are different modules.

    Raises `UserError` naming the file and what its code raised.
    """
    name = f"lsts_jax_method_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"config.model.temporal: {file}: not a .py file; a method is a class in a .py file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"config.model.temporal: {file}: {reason}") from error
    return module
