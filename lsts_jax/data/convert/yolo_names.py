"""The class names of a data set in YOLO format."""

from itertools import accumulate

import yaml

from lsts_jax.data.convert.tree import Tree
from lsts_jax.errors import UserError

DEEPEST = 50


def read_names(tree: Tree) -> tuple[list[str], bool]:
    """The class names in order, and True if keypoints follow the boxes. Raises `UserError` if no
    file has them."""
    for file in tree.annotations:
        if file.endswith((".yaml", ".yml")):
            text = tree.text(file)
            if _depth(text) > DEEPEST:
                raise UserError(f"{tree.folder / file}: is nested deeper than {DEEPEST} lists; repair it")
            try:
                content = yaml.load(text, yaml.BaseLoader)  # all scalars as text
            except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(f"{tree.folder / file}: is not valid yaml ({reason}); repair it") from error
            if isinstance(content, dict) and content.get("names"):
                return _names_of(content["names"], str(tree.folder / file)), "kpt_shape" in content
    for ending in ("/classes.txt", ".names"):
        for file in tree.annotations:
            if f"/{file}".endswith(ending):
                lines = [line.strip() for line in tree.text(file).splitlines()]
                while lines and not lines[-1]:
                    lines.pop()
                return lines, False
    raise UserError(
        f"{tree.folder}: has text of YOLO but no names of the classes (data.yaml, classes.txt, obj.names); "
        "write them into classes.txt, one per line"
    )


def _depth(text: str) -> int:
    """Depth of nested brackets: the time that yaml takes grows with its square."""
    steps = ((character in "[{") - (character in "]}") for character in text)
    return max(accumulate(steps, initial=0))


def _names_of(names: object, where: str) -> list[str]:
    """Class names from a list, or from a dict by number from 0. Raises `UserError`."""
    if isinstance(names, dict) and names.keys() == set(map(str, range(len(names)))):
        names = [names[str(number)] for number in range(len(names))]
    if isinstance(names, list) and all(isinstance(name, str) and name for name in names):
        return names
    raise UserError(f"{where}: names is neither a list nor a table with the numbers 0, 1, 2, ...; repair it")
