"""Tables and figures of the suites from the JSON files of their runs alone.

    python -m experiments.results

Scores are in percent. With several runs: mean ± standard deviation; differences are paired, each between runs
that start from the same detector, and come with their 95 % interval by the t distribution. Every table of
RESULTS.md and docs/results stands between two marks,

    <!-- table: paper/core -->
    <!-- end -->

and what is between them is replaced.
"""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from experiments.numbers import (
    SCORES,
    Difference,
    Motion,
    Runs,
    distances,
    has_runs,
    mean_mmac,
    names_of,
    read_motion,
    read_runs,
    score_difference,
    score_of,
    values_of,
    with_offsets,
    without_diverged,
)
from experiments.plan import find_suite
from experiments.process import ROOT
from experiments.run import RESULTS
from experiments.suites import DECIDES, FLOW, LSTS, PRETRAINED, SUITES, Suite
from lsts_jax import cli
from lsts_jax.errors import UserError

MARKS = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MISSING = "-"


@dataclass(frozen=True)
class Options:
    """Write results.csv, results.json and figures beside the JSON files, and the tables of a page."""

    suite: str = ""
    """Name of a suite in experiments/suites.py; by default all suites that have results."""
    results: Path = RESULTS
    """Folder that has a folder of JSON files for each suite."""
    pages: tuple[Path, ...] = (ROOT / "RESULTS.md", *sorted((ROOT / "docs" / "results").glob("*.md")))
    """Files whose tables are replaced."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    try:
        from experiments.figures import draw_all
    except ImportError as error:
        raise UserError(f'{error}; or pip install -e ".[report]"') from error
    tables: dict[str, str] = {}
    names = [name for name in SUITES if has_runs(options.results / name)]
    for name in [options.suite] if options.suite else names:
        suite, folder = find_suite(name), options.results / name
        every, motion = read_runs(folder), read_motion(folder)
        write_csv(folder / "results.csv", every)
        runs, diverged = without_diverged(every)
        summary = {each: summarise(suite, each, runs, motion) for each in names_of(suite) if each in runs}
        (folder / "results.json").write_text(json.dumps(summary, indent=1) + "\n")
        tables |= {f"{name}/{table}": text for table, text in all_tables(suite, runs, motion).items()}
        tables[f"{name}/diverged"] = diverged_table(suite, diverged)
        drawn = draw_all(suite, runs, motion, folder)
        print(f"{folder}: results.csv, results.json, {', '.join(file.name for file in drawn)}")
    for page in options.pages:
        if not page.exists():
            raise UserError(f"{page}: no such file; begin it with the marks of a table")
        page.write_text(fill(page.read_text(), tables, page))
        print(page)


def summarise(suite: Suite, name: str, runs: Runs, motion: Motion | None) -> dict:
    """All that tables say of an experiment, as numbers."""
    summary: dict = {"replicates": sorted(runs[name])}
    for score in SCORES:
        values = list(values_of(name, runs, lambda result, score=score: score_of(result, score)).values())
        if values:
            summary[score] = {"mean": fmean(values), "deviation": stdev(values) if len(values) > 1 else None}
        for against in suite.against:
            if against != name and (found := score_difference(name, against, runs, score)):
                summary.setdefault(f"against {against}", {})[score] = found._asdict()
    if motion is not None:
        found = {each: distances(result, motion) for each, result in runs[name].items()}
        if any(found.values()):
            summary["distance of offsets to motion"] = found
    return summary


def write_csv(path: Path, runs: Runs) -> None:
    """A line a run."""
    rows = []
    for of_experiment in runs.values():
        for replicate, result in of_experiment.items():
            milliseconds = result.get("milliseconds", {})
            rows.append(
                {
                    "experiment": result["experiment"],
                    "replicate": replicate,
                    "evaluates": result.get("of"),
                    **{score: rounded(score_of(result, score)) for score in SCORES},
                    "parameters": result.get("parameters"),
                    **{f"{kind} GMAC": rounded(value) for kind, value in result.get("gmac", {}).items()},
                    "keyframe_ms": rounded(milliseconds.get("keyframe")),
                    "other_frame_ms": rounded(milliseconds.get("other frame")),
                    "steps": result.get("steps"),
                    "training_seconds": rounded(result.get("seconds")),
                    "device": result["machine"]["device"],
                    "jax": result["machine"]["jax"],
                    "overrides": json.dumps(result["overrides"]),
                }
            )
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def all_tables(suite: Suite, runs: Runs, motion: Motion | None) -> dict[str, str]:
    """Markdown by the name of the table. Experiments that have not been run have no row."""
    scores = {score: score_column(runs, score) for score in SCORES}
    scores = {"runs": lambda name: str(len(runs.get(name, ()))), **scores}
    tables = {}
    for table, rows in suite.tables.items():
        start = {PRETRAINED: suite.title(PRETRAINED)} if table == "core" else {}
        rows = {name: title for name, title in {**start, **rows}.items() if name in runs}
        if table == "core":
            tables[table] = markdown(rows, scores | steadiness_columns(runs) | cost_columns(runs))
            differences = difference_columns(suite, runs, suite.against, ("mAP", "degraded", "clean"))
            tables["differences"] = markdown(rows, differences)
            tables["summary"] = markdown(rows, summary_columns(suite, runs))
            if FLOW in runs:
                tables["flow"] = flow_table(runs[FLOW])
        else:
            other = suite.baselines.get(table, LSTS)
            columns = scores | difference_columns(suite, runs, (other,), ("mAP", "degraded", "fast"))
            if table == DECIDES:
                columns = {name: scores[name] for name in ("runs", "mAP", "degraded", "clean")}
                columns |= weight_columns(runs)
            tables[table] = markdown(rows, columns)
    if motion is not None:
        rows = {name: suite.title(name) for name in with_offsets(suite, runs)}
        tables["motion"] = markdown(rows, motion_columns(runs, motion))
    tables["machines"] = machine_table(runs)
    return tables


def score_column(runs: Runs, score: str) -> Callable[[str], str]:
    return lambda name: spread(values_of(name, runs, lambda result: score_of(result, score)).values())


def difference_columns(
    suite: Suite, runs: Runs, others: Sequence[str], scores: Sequence[str]
) -> dict[str, Callable[[str], str]]:
    def column(other, score):
        return lambda name: "" if name == other else signed(score_difference(name, other, runs, score))

    return {
        f"{score}, against {suite.title(other)}": column(other, score)
        for other in others
        if other in names_of(suite)
        for score in scores
    }


def summary_columns(suite: Suite, runs: Runs) -> dict[str, Callable[[str], str]]:
    """What a first page says of every method."""
    mean = lambda name: spread(values_of(name, runs, mean_mmac).values(), 0)
    lag = lambda name: spread(values_of(name, runs, lambda result: result.get("delay")).values(), 0)
    scores = {score: score_column(runs, score) for score in ("mAP", "degraded", "clean")}
    against = difference_columns(suite, runs, suite.against[:1], ("mAP", "degraded"))
    return {**scores, **against, **with_values({"MMAC a frame": mean, "lag (frames)": lag}, runs)}


def cost_columns(runs: Runs) -> dict[str, Callable[[str], str]]:
    def of(number, digits):
        return lambda name: spread(values_of(name, runs, number).values(), digits)

    def part(field, kind):
        return lambda result: result.get(field, {}).get(kind)

    def scaled(field, factor):
        return lambda result: result[field] * factor if field in result else None

    columns = {
        "parameters (k)": of(scaled("parameters", 1e-3), 0),
        "keyframe (ms)": of(part("milliseconds", "keyframe"), 1),
        "other frame (ms)": of(part("milliseconds", "other frame"), 1),
        "training (min)": of(scaled("seconds", 1 / 60), 1),
        "keyframe (MMAC)": of(lambda result: scaled_or_none(part("gmac", "keyframe")(result), 1e3), 0),
        "other frame (MMAC)": of(lambda result: scaled_or_none(part("gmac", "other frame")(result), 1e3), 0),
        "memory (KiB)": of(scaled("memory_bytes", 1 / 1024), 0),
        "lag (frames)": of(scaled("delay", 1), 0),
    }
    return with_values(columns, runs)


def scaled_or_none(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def steadiness_columns(runs: Runs) -> dict[str, Callable[[str], str]]:
    """Average delay in frames and flicker in percent, where runs have them."""
    columns = {"average delay": score_column(runs, "delay"), "flicker": score_column(runs, "flicker")}
    return with_values(columns, runs)


def weight_columns(runs: Runs) -> dict[str, Callable[[str], str]]:
    """Mean weights of the memory in objects."""

    def column(kind):
        weight = lambda result: result.get("memory weight", {}).get(kind)
        return lambda name: spread(values_of(name, runs, weight).values(), 2)

    kinds = [f"{state}, {of}" for of in ("keyframe", "other frame") for state in ("degraded", "clean")]
    return {f"weight: {kind}": column(kind) for kind in kinds}


def with_values(columns: Mapping[str, Callable[[str], str]], runs: Runs) -> dict[str, Callable[[str], str]]:
    """Columns that some experiment has a value for."""
    return {name: column for name, column in columns.items() if any(column(each) != MISSING for each in runs)}


def motion_columns(runs: Runs, motion: Motion) -> dict[str, Callable[[str], str]]:
    """Before the training, half-way where that is stored, and after it."""

    def at(place, axis):
        def number(result):
            found = distances(result, motion)
            if not found or (place == "half-way" and len(found) < 3):
                return None
            return found[{"before": 0, "half-way": len(found) // 2, "after": -1}[place]][1 + axis]

        return lambda name: spread(values_of(name, runs, number).values(), 2)

    return {
        f"{axis}, {place}": at(place, i)
        for i, axis in enumerate(("horizontal", "vertical"))
        for place in ("before", "half-way", "after")
    }


def flow_table(trained: Mapping[str, dict]) -> str:
    """End-point errors of the flow networks, in cells."""
    names = [name for name in next(iter(trained.values())) if name.startswith("end-point error")]
    rows = [[replicate, *(f"{result[name]:.3f}" for name in names)] for replicate, result in trained.items()]
    return lines_of(["flow network", *names], rows)


def diverged_table(suite: Suite, diverged: Sequence[dict]) -> str:
    """Table of the runs that no other table counts."""
    rows = [
        [suite.title(each["experiment"]), str(each["seed"]), f"{100 * each['mAP']:.1f}"] for each in diverged
    ]
    return lines_of(["diverged", "seed", "mAP"], rows)


def machine_table(runs: Runs) -> str:
    """Table of the machines that ran the experiments."""
    counted: dict[tuple[str, ...], list[float]] = {}
    for result in (result for of_experiment in runs.values() for result in of_experiment.values()):
        machine = result["machine"]
        key = str(machine["device"]), str(machine["devices"]), str(machine["cores"]), machine["jax"]
        counted.setdefault(key, []).append(result.get("seconds", 0.0))
    rows = [[*key, str(len(times)), f"{sum(times) / 3600:.1f}"] for key, times in counted.items()]
    return lines_of(["device", "devices", "cores", "jax", "runs", "training (hours)"], rows)


def markdown(rows: Mapping[str, str], columns: Mapping[str, Callable[[str], str]]) -> str:
    """A row for each name, headed by its title."""
    cells = [[title, *(cell(name) for cell in columns.values())] for name, title in rows.items()]
    return lines_of(["", *columns], cells)


def lines_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (head, ruler, *rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± standard deviation, or the value that all have."""
    values = list(values)
    if not values:
        return MISSING
    mean = f"{fmean(values):.{digits}f}"
    return mean if len(set(values)) < 2 else f"{mean} ± {stdev(values):.{digits}f}"


def signed(found: Difference | None) -> str:
    """Mean [interval]."""
    if found is None:
        return MISSING
    if found.interval is None:
        return f"{found.mean:+.1f}"
    return f"{found.mean:+.1f} [{found.interval[0]:+.1f}, {found.interval[1]:+.1f}]"


def fill(text: str, tables: Mapping[str, str], page: Path) -> str:
    """The page with the tables between their marks; those of other suites stay.

    Raises `UserError` for a table that there is not.
    """
    suites = {name.split("/")[0] for name in tables}

    def replace(found):
        name = found[2]
        if name in tables:
            return found[1] + tables[name] + found[3]
        suite = name.split("/")[0]
        if suite in SUITES.keys() - suites:
            return found[0]
        raise UserError(f"{page}: table: {name}: there are {', '.join(tables)}")

    return MARKS.sub(replace, text)


if __name__ == "__main__":
    cli.main(run)
