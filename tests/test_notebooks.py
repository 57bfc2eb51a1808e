"""The notebooks run where lsts_jax is installed, install nothing there, and draw; git holds no outputs."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from notebooks.stamp import INSTALL, address, stamp

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Parameters of the second cell, for which pictures look worse and appear sooner.
SMALL = {
    "03_vmap_jit": {
        "LARGE, LARGE_CHANNELS": "(8, 12), 16",
        "NUM_OFFSETS": "(9, 25)",
        "SETS, VIDEOS, FRAMES, SEEDS": "4, 2, 3, 4",
        "REPEATS": "1",
    },
    "04_train": {"STEPS": "4", "VIDEOS, FRAMES": "4, 20"},
}


def pictures(cell) -> list[str]:
    return [o.data["image/png"] for o in cell.get("outputs", ()) if "image/png" in o.get("data", ())]


def shorten(notebook, values: dict[str, str]) -> None:
    parameters = [cell for cell in notebook.cells if cell.cell_type == "code"][1]
    for name, value in values.items():
        parameters.source, count = re.subn(
            rf"(?m)^{name} = [^#\n]*", f"{name} = {value}  ", parameters.source
        )
        assert count == 1, name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_draws(path, tmp_path, monkeypatch):
    # The kernel is another process: it inherits these, and imports the package of this checkout.
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # whatever would be installed after all, fails
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # no history, no profile of the user
    notebook = nbformat.read(path, as_version=4)
    shorten(notebook, SMALL.get(path.stem, {}))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not code[0].outputs, "the first cell installs nothing where lsts_jax is there"
    assert sum(len(pictures(cell)) for cell in code) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
        assert not cell.get("attachments") and not cell.metadata
    assert path.stat().st_size < 20_000


def test_the_address_of_the_repository_is_stamped():
    assert len(NOTEBOOKS) == 4
    for path in NOTEBOOKS:
        text, github = path.read_text(encoding="utf-8"), "https://github.com/some/where"
        assert text == stamp(text, path.name, address()), "run make notebooks"
        stamped = stamp(text, path.name, github)
        assert (
            f"https://colab.research.google.com/github/some/where/blob/main/notebooks/{path.name}" in stamped
        )
        assert f'REPOSITORY = \\"{github}\\"' in stamped
        assert stamp(stamped, path.name, github) == stamped
        assert stamp(stamped, path.name, "") == stamp(text, path.name, "")


@pytest.mark.parametrize(
    ("file", "repository", "source"),
    [
        ("../lsts_jax/plots.py", "https://x.org/y", "lsts_jax[report] @ file://{0}"),
        (
            "lsts_jax-1-py3-none-any.whl",
            "",
            "lsts_jax[report] @ file://{0}/notebooks/lsts_jax-1-py3-none-any.whl",
        ),
        ("other", "https://x.org/y", "lsts_jax[report] @ git+https://x.org/y"),
        ("other", "", None),
    ],
)
def test_the_first_cell_installs(tmp_path, monkeypatch, file, repository, source):
    folder = tmp_path / "notebooks"
    (folder / file).parent.mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    (folder / file).touch()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    code, names = INSTALL.format(repository=repository).replace("%pip install --quiet ", "installed = f"), {}
    if source is None:
        with pytest.raises(FileNotFoundError, match="upload its wheel"):
            exec(code, names)
    else:
        exec(code, names)
        assert names["installed"] == source.format(tmp_path)
