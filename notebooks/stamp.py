"""Writes the first code cell and the Colab badge of every notebook, with the repository's address.

    make notebooks

The address is that of [project.urls] in pyproject.toml. While there is none, the notebooks install the
package from the clone or from an uploaded wheel, and have no badge.
"""

import json
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
COLAB = "https://colab.research.google.com/"
INSTALL = """\
# Installs lsts_jax where it is missing, which takes a minute or two: from the clone that holds this notebook,
# from a wheel beside it, or from the repository.
REPOSITORY = "{repository}"  # `make notebooks` writes it

import importlib.util
import shutil
from pathlib import Path

if importlib.util.find_spec("lsts_jax") is None:
    clone, wheels = Path("..").resolve(), sorted(Path().glob("lsts_jax-*.whl"))
    if (clone / "lsts_jax" / "plots.py").is_file():
        source = clone.as_uri()
    elif wheels:
        source = wheels[-1].resolve().as_uri()
    elif REPOSITORY:
        source = f"git+{{REPOSITORY}}"
    else:
        raise FileNotFoundError("upload its wheel (in a clone: pip wheel --no-deps .) beside it")
    extras = "report,cuda" if shutil.which("nvidia-smi") else "report"
    %pip install --quiet "lsts_jax[{{extras}}] @ {{source}}\""""


def address(pyproject: Path = FOLDER.parent / "pyproject.toml") -> str:
    """The repository's address; empty if pyproject.toml has none."""
    return tomllib.loads(pyproject.read_text())["project"].get("urls", {}).get("Repository", "")


def stamp(text: str, name: str, repository: str) -> str:
    """The text of a notebook with the address in it."""
    notebook = json.loads(text)
    first = notebook["cells"][0]
    lines = [line for line in first["source"] if COLAB not in line]
    while lines[0] == "\n":
        lines.pop(0)
    if repository.startswith("https://github.com/"):
        page = f"{COLAB}github/{repository.removeprefix('https://github.com/')}/blob/main/notebooks/{name}"
        lines = [f"[![Open in Colab]({COLAB}assets/colab-badge.svg)]({page})\n", "\n", *lines]
    first["source"] = lines
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["source"] = INSTALL.format(repository=repository).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file in sorted(FOLDER.glob("*.ipynb")):
        file.write_text(stamp(file.read_text(encoding="utf-8"), file.name, address()), encoding="utf-8")
        print(file.name, address() or "no address in pyproject.toml: installs from the clone or a wheel")
