"""Imports run downward only, so that a stranger can read the package from the bottom."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lsts_jax"
LEAVES = {"structs", "config", "errors", "config_io"}
ALLOWED = {
    "structs": set(),
    "config": set(),
    "errors": set(),
    "config_io": {"config", "errors"},
    "cli": {"config", "config_io", "errors"},
    "ops": {"structs"},
    "models": {"ops"} | LEAVES,
    "video": {"models", "ops", "structs"},
    "streaming": {"video", "models", "structs"},
    "data": LEAVES | {"cli", "viz"},  # in commands
    "parallel": {"errors"},
    "training": {"models", "video", "ops", "parallel"} | LEAVES,
    "evaluation": {"data", "models", "video", "streaming", "parallel"} | LEAVES,
}


def part(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Parts of the package that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lsts_jax."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("lsts_jax.")}
    return names


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_imports_run_downward(name):
    files = [path for path in PACKAGE.rglob("*.py") if part(path) == name]
    assert files
    for path in files:
        assert imported(path) - {name} <= ALLOWED[name], path.relative_to(PACKAGE)


def test_data_and_metric_do_without_jax():
    for path in [*(PACKAGE / "data").rglob("*.py"), PACKAGE / "evaluation" / "vid_map.py"]:
        tree = ast.walk(ast.parse(path.read_text()))
        assert not any(
            isinstance(n, ast.Import) and any(a.name.split(".")[0] == "jax" for a in n.names) for n in tree
        )
