"""Imports run downward only and in no circle, so that a stranger can read the package from the bottom."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Float32

from lsts_jax.structs import AnyArray

PACKAGE = Path(__file__).resolve().parents[1] / "lsts_jax"
NAME = PACKAGE.name

GROUND = {"structs", "config", "errors", "files"}
BELOW = GROUND | {
    "ahead",
    "compiling",
    "config_checks",
    "config_io",
    "data",
    "ops",
    "models",
    "video",
    "streaming",
    "parallel",
    "training",
    "evaluation",
    "hub",
}
# What each part of the package, a file or a folder, may import beside itself.
ALLOWED = {
    "structs": set(),
    "config": set(),
    "errors": set(),
    "files": {"errors"},
    "hub": {"errors"},
    "ahead": set(),
    "compiling": set(),
    "config_checks": {"config", "errors"},
    "config_io": GROUND | {"config_checks"},
    "ops": {"structs"},
    "data": GROUND,
    "models": {"ops", "structs", "config", "errors"},  # of the config only to build what it names
    "video": {"models", "ops", "structs"},
    "streaming": {"models", "video", "structs", "ahead", "compiling"},
    "parallel": {"errors"},
    "training": {"models", "video", "ops", "parallel", "compiling", "config_checks", "config_io", "hub"}
    | GROUND,
    "evaluation": {
        "ahead",
        "compiling",
        "data",
        "models",
        "video",
        "streaming",
        "parallel",
        "viz",
        "config_checks",
        "config_io",
    }
    | GROUND,
    "viz": GROUND | {"data"},
    "plots": BELOW | {"viz"},
    "api": BELOW | {"viz"},
    "tracks": BELOW | {"api"},
    "outputs": BELOW | {"viz", "api", "tracks"},
    "export": BELOW | {"api", "__init__"},  # the version
    "cli": GROUND | {"config_checks", "config_io", "hub"},
    "commands": BELOW | {"viz", "api", "tracks", "outputs", "export", "cli", "__init__"},  # the version
    "__main__": {"commands"},
    "__init__": {"api"},
}
# `python -m` runs these and every __main__. They may import all else, and no other module imports them.
COMMANDS = {"data.check", "data.prepare"}
# Parts and modules that are NumPy's: workers of the loader, converters, the doctor and the metric.
WITHOUT_JAX = (
    "config", "config_checks", "config_io", "structs", "errors", "files", "hub", "data", "viz",
    "evaluation.vid_map", "evaluation.matching", "evaluation.groups",
)  # fmt: skip
JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}


def read_modules(package: Path) -> dict[str, ast.Module]:
    """The syntax of every module by its name in the package, such as `data.video.pictures`; that of a package
    is the name of its folder, and the whole package's is the empty string."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return modules


def imported(module: str, modules: dict[str, ast.Module], folders: set[str]) -> Iterable[str]:
    """Full names of the modules that a module imports, anywhere in it. A name from a module is told from a
    module of a folder by the files that there are."""
    for node in ast.walk(modules[module]):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    above = [NAME, *module.split(".")] if module else [NAME]
                    above = above[: len(above) - node.level + (module in folders)]
                    base = ".".join([*above, *filter(None, [base])])
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield inner if inner.removeprefix(f"{NAME}.") in modules else base
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if _called(node) in (
                "import_module",
                "__import__",
            ):
                yield name


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", None) or getattr(node.func, "id", "")


def graph_of(package: Path) -> dict[str, set[str]]:
    """Names of what each module imports: those of the package without its name, others in full."""
    modules = read_modules(package)
    folders = {".".join(path.relative_to(package).parts[:-1]) for path in package.rglob("__init__.py")}
    graph = {}
    for module in modules:
        names = set(imported(module, modules, folders))
        ours = {name for name in names if name.split(".")[0] == NAME}
        graph[module] = {name.partition(".")[2] for name in ours} | {f"/{name}" for name in names - ours}
    return graph


def part(module: str) -> str:
    return module.split(".")[0] or "__init__"


def is_command(module: str) -> bool:
    return module in COMMANDS or module.split(".")[-1] == "__main__"


def is_without_jax(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in WITHOUT_JAX)


def faults(graph: dict[str, set[str]]) -> list[str]:
    """A line for every import that does not run downward, every part without a line, and every circle."""
    found = []
    for module, names in graph.items():
        if part(module) not in ALLOWED:
            found.append(f"{module}: {part(module)} has no line in ALLOWED")
            continue
        allowed = ALLOWED[part(module)] | {part(module)}
        for name in sorted(names):
            if name.startswith("/"):
                upward = name[1:].split(".")[0] in JAX and is_without_jax(module)
            else:
                upward = is_command(name) or (part(name) not in allowed and not is_command(module))
            if upward:
                found.append(f"{module} imports {name}")
    return found + [f"circle of {', '.join(circle)}" for circle in circles(graph)]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reached = {module: reach(graph, module) for module in graph}
    groups = {
        tuple(other for other in sorted(reached[module]) if module in reached.get(other, ()))
        for module in graph
    }
    return sorted(list(group) for group in groups if group)


def reach(graph: dict[str, set[str]], start: str) -> set[str]:
    """What a module imports, directly or through others: itself only if it stands in a circle."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def test_imports_run_downward_and_in_no_circle():
    assert faults(graph_of(PACKAGE)) == []


PLANTED = {
    "from lsts_jax.api import load": "ops.planted imports api",
    "from lsts_jax import viz": "ops.planted imports viz",
    "import lsts_jax.models.detector as below": "ops.planted imports models.detector",
    "from ..models import detector": "ops.planted imports models.detector",
    "from .. import viz": "ops.planted imports viz",
    "def f():\n    from lsts_jax.models.detector import Detector": "ops.planted imports models.detector",
    "def f():\n    import_module('lsts_jax.api')": "ops.planted imports api",
    "from lsts_jax.data.check import run": "ops.planted imports data.check",
    "from lsts_jax.ops.boxes import area": "circle of ops.boxes, ops.planted",
    "def f():\n    from lsts_jax.ops import boxes": "circle of ops.boxes, ops.planted",
    "from .boxes import area": "circle of ops.boxes, ops.planted",
}
PLANTED_IN_DATA = {
    "from jax import numpy": "data.planted imports /jax",
    "import jax.numpy as jnp": "data.planted imports /jax.numpy",
    "def f():\n    import flax": "data.planted imports /flax",
    "from lsts_jax import cli": "data.planted imports cli",
    "from lsts_jax.ops.boxes import area": "data.planted imports ops.boxes",
}


@pytest.mark.parametrize(
    "folder, source, fault",
    [("ops", *item) for item in PLANTED.items()] + [("data", *item) for item in PLANTED_IN_DATA.items()],
)
def test_a_planted_import_is_caught(tmp_path, folder, source, fault):
    files = {
        "__init__.py": "",
        "api.py": "",
        "cli.py": "",
        "viz.py": "",
        "data/__init__.py": "",
        "data/check.py": "from lsts_jax import cli, viz",
        "models/__init__.py": "",
        "models/detector.py": "",
        "ops/__init__.py": "",
        "ops/boxes.py": "from lsts_jax.ops.planted import area" if folder == "ops" else "",
    }
    for name, text in (files | {f"{folder}/planted.py": ""}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert faults(graph_of(tmp_path)) == []
    (tmp_path / folder / "planted.py").write_text(source)
    assert fault in faults(graph_of(tmp_path))


def test_every_circle_is_found_and_a_part_without_a_line_told():
    graph = {"ops.a": {"ops.b"}, "ops.b": {"ops.a"}, "ops.c": {"ops.d"}, "ops.d": {"ops.c"}, "new": set()}
    assert faults(graph) == [
        "new: new has no line in ALLOWED", "circle of ops.a, ops.b", "circle of ops.c, ops.d"
    ]  # fmt: skip


def test_data_and_the_metric_start_without_jax():
    """One process imports them all; the extras of TFDS may be missing."""
    modules = [
        name for name in read_modules(PACKAGE) if is_without_jax(name) and not name.endswith("tfds_vid")
    ]
    code = f"""
import importlib, sys
for name in {["cli", *modules]!r}:
    importlib.import_module(f"{NAME}.{{name}}")
    assert not {JAX!r} & sys.modules.keys(), name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr


def test_shapes_of_structs_are_checked():
    """Annotations that do not name JAX hold for its arrays and NumPy's."""
    for make in (jnp.zeros, np.zeros):
        assert isinstance(make((2, 4), np.float32), Float32[AnyArray, "n 4"])
        assert not isinstance(make((2, 3), np.float32), Float32[AnyArray, "n 4"])
        assert not isinstance(make((2, 4), np.int32), Float32[AnyArray, "n 4"])
    assert not isinstance([[0.0] * 4], Float32[AnyArray, "n 4"])
