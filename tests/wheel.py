"""The package as users get it: a wheel, built from a copy of the sources and installed into a folder."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("lsts_jax", "configs", "pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE")


def install_wheel(place: Path) -> Path:
    """Builds the wheel in `place` and returns the folder that it is installed into; without a network."""
    source = place / "source"
    source.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, source]
    subprocess.run([*pip, *build], check=True)
    [wheel] = place.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", place / "site", wheel], check=True
    )
    return place / "site"
