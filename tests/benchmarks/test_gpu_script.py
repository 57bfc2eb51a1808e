"""`benchmarks/gpu.sh` without a GPU: every part is a benchmark that takes its options, and the limits of all
parts fit in nine minutes."""

import argparse
import importlib
import re
import shlex
import sys

import pytest

from tests.pages import ROOT

PARTS = [
    shlex.split(line)[1:]
    for line in (ROOT / "benchmarks" / "gpu.sh").read_text().splitlines()
    if re.match(r"run \w+ \d", line)
]


class Accepted(Exception):
    """The options were parsed; the benchmark itself does not run."""


def test_all_parts_end_within_nine_minutes():
    assert len(PARTS) >= 7
    assert sum(int(limit) for _, limit, *_ in PARTS) <= 9 * 60
    assert PARTS[0][0] == "check"  # correctness before speed


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part[0])
def test_a_part_takes_its_options(part, monkeypatch):
    name, _, module, *options = part
    benchmark = importlib.import_module(module)
    parse_args = argparse.ArgumentParser.parse_args

    def parse(parser):
        parse_args(parser)
        raise Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    monkeypatch.setattr(sys, "argv", [module, *options, "--json", f"{name}.json"])
    with pytest.raises(Accepted):
        benchmark.main()
