"""Tables, intervals and distances that can be worked out by hand, and the page that holds them."""

import csv
import json

import numpy as np
import pytest

from experiments import results
from experiments.numbers import difference, distances, mean_mmac, read_runs
from experiments.suites import SUITES
from lsts_jax.errors import UserError
from tests.experiments.suite import MACHINE, SUITE


def stored(folder, experiment, seed, mAP, *, degraded=None, offsets=None, **more):
    result = {"experiment": experiment, "seed": seed, "of": None, "overrides": {}, "mAP": mAP / 100}
    result |= {"machine": MACHINE, "parameters": 12345, "seconds": 1800.0, "steps": 10}
    result |= {"milliseconds": {"keyframe": 4.0, "other frame": 2.5}} | more
    if degraded is not None:
        result["mAP by degraded"] = {"degraded": degraded / 100, "clean": 0.9}
    if offsets is not None:
        result["offsets"] = [
            {"step": step, "offsets": values} for step, values in zip((0, 10), offsets, strict=True)
        ]
        result["offset spread"] = [[1, 1.0], [10, 2.0]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{experiment}-seed{seed}.json").write_text(json.dumps(result))


def test_the_interval_is_that_of_paired_differences():
    a, b = {0: 90.0, 1: 92.0, 2: 94.0, 3: 7.0}, {0: 80.0, 1: 84.0, 2: 82.0, 4: 1.0}
    found = difference(a, b)  # 10, 8, 12: standard deviation 2; Student's t of 2 degrees: 4.303
    assert found.mean == pytest.approx(10)
    assert found.interval == pytest.approx((10 - 4.303 * 2 / 3**0.5, 10 + 4.303 * 2 / 3**0.5), abs=1e-3)
    assert found.pairs == 3
    assert difference({0: 3.0}, {0: 5.0}) == (-2.0, None, 1)
    assert difference({0: 3.0}, {1: 5.0}) is None


def test_the_distance_is_the_way_that_offsets_would_have_to_move():
    motion = {"offline": np.array([[1.5, 0.0], [2.5, 0.0]]), "online": np.array([[2.5, 1.0]])}
    steps = [{"step": 0, "offsets": [[0, 1], [0, -1]]}, {"step": 9, "offsets": [[2.5, 0], [1.5, 0]]}]
    result = {"overrides": {}, "offsets": steps}
    assert distances(result, motion) == [(0, 2.0, 1.0), (9, 0.0, 0.0)]
    assert distances({"overrides": {}}, motion) == []
    # both frames' way is that of the schedule
    online = {"overrides": {"model.schedule": "online"}, "offsets": steps}
    assert distances(online, motion)[1] == (9, 0.5, 1.0)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page with prose, the stored results of three seeds beside it."""
    monkeypatch.setitem(SUITES, "test", SUITE)
    folder = tmp_path / "results" / "test" / "first"
    learned = [[0.0, 0.0]] * 2, [[1.0, 0.0]] * 2
    for seed, lsts, single in ((0, 90, 80), (1, 92, 84), (2, 94, 82)):
        stored(folder, "lsts", seed, lsts, degraded=lsts - 10, offsets=learned)
        stored(folder, "single", seed, single, degraded=50)
    stored(folder, "pretrain", 0, 75)
    stored(folder, "interval20", 0, 88.06, of="lsts")
    (folder / "motion.json").write_text('{"offline": [[1.0, 0.5], [1.0, 0.5]]}')
    page = tmp_path / "RESULTS.md"
    page.write_text(
        "Before.\n<!-- table: test/core -->\nold\n<!-- end -->\nBetween | them.\n"
        "<!-- table: test/differences -->\n<!-- end -->\n<!-- table: test/interval -->\n<!-- end -->\n"
        "<!-- table: test/motion -->\n<!-- end -->\n<!-- table: test/machines -->\n<!-- end -->\n"
        "<!-- table: test/normalization -->\n<!-- end -->\n"
        "<!-- table: test/beyond -->\n<!-- end -->\nAfter.\n"
    )
    return page, folder


def tables_of(page):
    """Lines of each table, without its ruler, once the command has filled the page."""
    results.run(["--suite", "test", "--results", str(page[1].parents[1]), "--pages", str(page[0])])
    found = {}
    for block in page[0].read_text().split("<!-- table: test/")[1:]:
        name, rest = block.split(" -->\n", 1)
        head, ruler, *rows = rest.split("<!-- end -->")[0].splitlines()
        assert ruler.count("|") == head.count("|")
        found[name] = [head, *rows]
    return found


def test_tables_hold_what_the_files_say(page):
    tables = tables_of(page)
    written = page[0].read_text()
    prose = [part.split("<!-- end -->\n")[-1] for part in written.split("<!-- table: ")]
    assert prose == ["Before.\n", "Between | them.\n", "", "", "", "", "", "After.\n"]
    assert tables["core"] == [
        "|  | runs | mAP | degraded | clean | slow | medium | fast | parameters (k) | keyframe (ms) | "
        "other frame (ms) | training (min) |",
        "| where all start | 1 | 75.0 | - | - | - | - | - | 12 | 4.0 | 2.5 | 30.0 |",
        "| single frame | 3 | 82.0 ± 2.0 | 50.0 | 90.0 | - | - | - | 12 | 4.0 | 2.5 | 30.0 |",
        "| LSTS | 3 | 92.0 ± 2.0 | 82.0 ± 2.0 | 90.0 | - | - | - | 12 | 4.0 | 2.5 | 30.0 |",
    ]
    assert tables["differences"] == [
        "|  | mAP, against single frame | degraded, against single frame | clean, against single frame | "
        "mAP, against frozen | degraded, against frozen | clean, against frozen |",
        "| where all start | -5.0 | - | - | - | - | - |",
        "| single frame |  |  |  | - | - | - |",
        "| LSTS | +10.0 [+5.0, +15.0] | +32.0 [+27.0, +37.0] | +0.0 [+0.0, +0.0] | - | - | - |",
    ]
    assert len(tables["beyond"]) == 3  # frozen was not run
    # against 90, its own seed
    assert tables["interval"][2] == "| 20 | 1 | 88.1 | - | - | - | - | - | -1.9 | - | - |"
    assert tables["beyond"][0].endswith(
        "| fast | mAP, against single frame | degraded, against single frame | fast, against single frame |"
    )
    assert tables["beyond"][2].endswith("| - | +10.0 [+5.0, +15.0] | +32.0 [+27.0, +37.0] | - |")
    assert tables["motion"][1] == "| LSTS | 1.00 | - | 0.00 | 0.50 | - | 0.50 |"
    assert tables["machines"][1] == "| cpu | 1 | 2 | 0.10.2 | 8 | 4.0 |"
    assert tables["normalization"][1].startswith(r"| s / Σ \|s\| | 3 |")

    tables_of(page)
    assert page[0].read_text() == written


def test_files_beside_the_tables(page):
    tables_of(page)
    folder = page[1].parent
    with (folder / "results.csv").open(newline="") as file:
        rows = {(row["experiment"], row["replicate"]): row for row in csv.DictReader(file)}
    assert len(rows) == 8
    assert rows["interval20", "first/0"]["mAP"] == "88.06"
    assert rows["interval20", "first/0"]["evaluates"] == "lsts"
    assert rows["lsts", "first/2"]["degraded"] == "84.0"
    summary = json.loads((folder / "results.json").read_text())
    assert summary["lsts"]["mAP"] == {"mean": pytest.approx(92), "deviation": pytest.approx(2)}
    assert summary["lsts"]["against single"]["mAP"]["interval"] == pytest.approx([5.032, 14.968], abs=1e-3)
    assert summary["lsts"]["distance of offsets to motion"]["first/0"] == [[0, 1.0, 0.5], [10, 0.0, 0.5]]
    for name in ("core", "interval", "learning", "offsets_lsts"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name


def test_the_summary_and_the_figure_weigh_scores_against_multiply_adds(page):
    file, folder = page
    file.write_text("<!-- table: test/summary -->\n<!-- end -->\n")
    costs = {"gmac": {"keyframe": 0.1, "other frame": 0.05}, "delay": 0, "flicker": 0.25}
    for seed, score in ((0, 90), (1, 92)):
        offsets = [[0.0, 0.0]] * 2, [[1.0, 0.0]] * 2
        stored(folder, "lsts", seed, score, degraded=80, offsets=offsets, **costs, average_delay=1.5)
        stored(folder, "interval20", seed, score - 2, overrides={"model.keyframe_interval": 2}, **costs)
    assert tables_of(page)["summary"] == [
        "|  | mAP | degraded | clean | mAP, against single frame | degraded, against single frame | "
        "MMAC a frame | lag (frames) |",
        "| where all start | 75.0 | - | - | -5.0 | - | - | - |",
        "| single frame | 82.0 ± 2.0 | 50.0 | 90.0 |  |  | - | - |",
        # (100 + 9 * 50) / 10; the third run has other scores and no costs
        "| LSTS | 92.0 ± 2.0 | 81.3 ± 2.3 | 90.0 | +10.0 [+5.0, +15.0] | +31.3 [+25.6, +37.1] | 55 | 0 |",
    ]
    runs = read_runs(folder.parent)
    assert mean_mmac(runs["interval20"]["first/0"]) == pytest.approx(75)
    assert mean_mmac(runs["single"]["first/0"]) is None
    assert (folder.parent / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    file.write_text("<!-- table: test/core -->\n<!-- end -->\n")
    head, *rows = tables_of(page)["core"]
    assert "| average delay | flicker | parameters (k) |" in head
    assert "keyframe (MMAC) | other frame (MMAC) | lag (frames) |" in head
    assert "| 1.5 | 25.0 |" in rows[2]


def test_pages_and_results_that_are_wrong(page):
    file, folder = page
    file.write_text("<!-- table: test/cores -->\n<!-- end -->\n")
    with pytest.raises(
        UserError, match=r"RESULTS.md: table: test/cores: there are test/core, test/differences"
    ):
        tables_of(page)
    file.unlink()
    with pytest.raises(UserError, match=r"RESULTS.md: no such file; begin it with the marks of a table"):
        tables_of(page)
    (folder / "lsts-seed0.json").write_text('{"experiment": "lsts"')
    with pytest.raises(UserError, match=r"lsts-seed0.json: no result of a run"):
        read_runs(folder.parent)
    with pytest.raises(UserError, match=r"first: no results; make them"):
        read_runs(folder)


def test_diverged_runs_are_counted_in_no_mean_and_listed(page):
    _, folder = page
    stored(folder, "lsts", 3, 4.9)
    stored(folder, "single", 3, 5.0)  # the limit itself: poor, but learned
    stored(folder, "frozen", 0, 1.0)  # no run of it learned: that is its result
    page[0].write_text(page[0].read_text() + "<!-- table: test/diverged -->\n<!-- end -->\n")
    tables = tables_of(page)
    assert tables["diverged"] == ["| diverged | seed | mAP |", "| LSTS | 3 | 4.9 |"]
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:3] for row in tables["core"][1:]}
    assert rows["LSTS"] == ["3", "92.0 ± 2.0"]
    assert rows["single frame"][0] == "4"
    assert tables["beyond"][3].startswith("| frozen | 1 | 1.0 |")
    with (folder.parent / "results.csv").open(newline="") as file:
        assert ("lsts", "first/3") in {(row["experiment"], row["replicate"]) for row in csv.DictReader(file)}
