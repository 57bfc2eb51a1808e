"""Python blocks of the documentation, found by Sybil."""

from pathlib import Path

from sybil import Example, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parents[1]


def python_blocks(page: str) -> list[Example]:
    """The Python blocks of a page, in order; `evaluate()` runs one, in a namespace that all blocks share."""
    return list(Sybil([PythonCodeBlockParser()]).parse(ROOT / page).examples())
