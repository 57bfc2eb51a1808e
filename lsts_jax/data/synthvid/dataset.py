"""Writes the data set in the layout of ILSVRC2015, and its ground truth in synthvid.json."""

import json
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from lsts_jax.data.synthvid.classes import class_names
from lsts_jax.data.synthvid.layout import SPLITS, Clip, annotation, clips, image_sets
from lsts_jax.data.synthvid.recipes import RECIPES
from lsts_jax.data.synthvid.render import ObjectState, is_degraded, render_frame
from lsts_jax.data.synthvid.scene import Assets, Scene, find_assets, make_scene
from lsts_jax.data.synthvid.settings import BENCHMARKS, SynthVIDConfig, check
from lsts_jax.errors import UserError
from lsts_jax.files import write_whole

VERSION = 1  # version of the renderer: another version gives other pictures for the same settings
TRUTH = "synthvid.json"


def render_dataset(
    out: str | Path, settings: SynthVIDConfig, *, workers: int | None = None, progress: bool = True
) -> bool:
    """Renders the data set of `settings` into the folder `out` with `workers` processes (default:
    one per core). The files do not depend on their number. The lists in ImageSets are written
    last.

    Returns False, without writing, if the folder already holds exactly this data set; a part of it,
    left by an interruption, is completed.

    Raises UserError for a setting out of range, for a folder of pictures that is missing or empty,
    and if `out` holds anything else.
    """
    out = Path(out)
    check(settings)
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: must be 1 or more")
    assets = find_assets(settings)
    header = _header(settings, assets)
    if _is_complete(out, header, settings):
        return False
    _write_json(out / TRUTH, header | {"complete": False})
    todo = clips(settings)
    workers = min(workers or os.cpu_count() or 1, max(len(todo), 1))
    task = partial(render_clip, out, settings, assets)
    truths: dict[str, Any] = {}
    with tqdm(total=sum(c.frames for c in todo), unit="frame", desc=str(out), disable=not progress) as bar:
        for clip, truth in zip(todo, _run(task, todo, workers), strict=True):
            truths[f"{clip.kind}/{clip.path}"] = truth
            bar.update(clip.frames)
    for name, lines in image_sets(settings).items():
        _write_text(out / "ImageSets" / f"{name}.txt", "".join(f"{line}\n" for line in lines))
    _write_json(out / TRUTH, header | {"complete": True, "videos": truths})
    return True


def _run(task: Any, todo: list[Clip], workers: int) -> Iterable[dict]:
    """Yields results of `task` in the order of `todo`, computed by processes that share no state
    with this one."""
    if workers == 1:
        yield from map(task, todo)
        return
    # "spawn", because forking a process that runs JAX's or OpenCV's threads may hang
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        with _ignoring_interrupts():  # Ctrl-C reaches every process of the terminal; this one ends the others
            results = pool.map(task, todo)
        yield from results


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Makes processes that start in the block ignore Ctrl-C. Has no effect outside the main thread,
    where signals cannot be set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _start_worker() -> None:
    """Limits OpenCV to one thread, and ends the process when its parent ends, even by kill -9."""
    cv2.setNumThreads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def scene_of(settings: SynthVIDConfig, assets: Assets, clip: Clip) -> tuple[Scene, np.random.Generator]:
    """The scene of a clip, and the random generator that its frames continue to use.

    The result is a function of the arguments: random numbers depend only on seed, split and index.
    """
    rng = np.random.default_rng((settings.seed, SPLITS.index(clip.split), clip.index))
    recipe = RECIPES[settings.difficulty]
    if clip.split == "still":  # photos are sharp
        recipe = replace(recipe, shutter=(0.0, 0.0), defocus=0.0, defocus_burst=0.0)
    first_class = clip.index % len(class_names(settings.difficulty, settings.cutouts))
    scene = make_scene(rng, recipe, settings, assets, frames=clip.frames, first_class=first_class)
    return scene, rng


def render_clip(out: Path, settings: SynthVIDConfig, assets: Assets, clip: Clip) -> dict[str, Any]:
    """Writes the pictures and annotations of a clip and returns its ground truth for synthvid.json."""
    scene, rng = scene_of(settings, assets, clip)
    names = class_names(settings.difficulty, settings.cutouts)
    recipe = RECIPES[settings.difficulty]
    states = []
    for frame in range(clip.frames):
        picture, objects = render_frame(scene, frame, rng)
        states.append(objects)
        _write_picture(out / "Data" / clip.kind / f"{clip.file(frame)}.JPEG", picture, settings.quality)
        degraded = None
        if recipe.marks and clip.split != "still":
            degraded = [is_degraded(o, float(scene.defocus[frame]), min(scene.size)) for o in objects]
        xml = annotation(clip, frame, scene.size, objects, names, degraded)
        _write_text(out / "Annotations" / clip.kind / f"{clip.file(frame)}.xml", xml)
    return _truth(states, [float(s) for s in scene.defocus], names)


def _truth(states: list[list[ObjectState]], defocus: list[float], names: tuple[str, ...]) -> dict[str, Any]:
    """Degradations and motion by frame, short enough to be stored for every video."""
    tracks = []
    for track in zip(*states, strict=True):
        tracks.append(
            {
                "trackid": track[0].trackid,
                "class": names[track[0].object_class],
                "centre": [[round(v, 2) for v in s.centre] for s in track],
                "blur": [round(s.blur, 2) for s in track],
                "in_frame": [round(s.in_frame, 3) for s in track],
                "covered": [round(s.covered, 3) for s in track],
                "annotated": [int(s.box is not None) for s in track],
            }
        )
    return {"defocus": [round(s, 2) for s in defocus], "tracks": tracks}


def _header(settings: SynthVIDConfig, assets: Assets) -> dict[str, Any]:
    """Header that identifies a data set; pictures of the user are identified by name and size."""
    files = [p for group in assets.cutouts for p in group] + list(assets.backgrounds)
    benchmark = [name for name, frozen in BENCHMARKS.items() if frozen == settings]
    return {
        "version": VERSION,
        **({"benchmark": benchmark[0]} if benchmark else {}),
        "settings": asdict(settings),
        "class_names": list(class_names(settings.difficulty, settings.cutouts)),
        "assets": [[p.name, p.stat().st_size] for p in files],
    }


def _is_complete(out: Path, header: dict[str, Any], settings: SynthVIDConfig) -> bool:
    """True if `out` holds the whole data set of this header; False if it holds none or part of it.

    Raises UserError if it holds something else.
    """
    fix = "choose another --out or delete it"
    if out.is_dir() and all(p.suffix == ".part" for p in out.iterdir()):
        return False
    if not out.is_dir():
        if out.exists():
            raise UserError(f"--out {out}: is not a folder; {fix}")
        return False
    try:
        stored = json.loads((out / TRUTH).read_text())
        stored_settings = dict(stored["settings"])
    except FileNotFoundError:
        raise UserError(f"--out {out}: is not empty and holds no SynthVID; {fix}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{out / TRUTH}: cannot be read; {fix}") from None
    for name, value in header["settings"].items():
        if stored_settings.get(name) != value:
            raise UserError(
                f"--out {out}: holds a SynthVID with {name} {stored_settings.get(name)}, not {value}; {fix}"
            )
    for name in ("version", "assets"):
        if stored.get(name) != header[name]:
            raise UserError(f"--out {out}: holds a SynthVID made from another {name}; {fix}")
    written = sum(name.endswith((".JPEG", ".xml")) for _, _, files in os.walk(out) for name in files)
    lists = all((out / "ImageSets" / f"{name}.txt").is_file() for name in image_sets(settings))
    return bool(stored.get("complete")) and lists and written == 2 * sum(c.frames for c in clips(settings))


def _write_picture(path: Path, picture: np.ndarray, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as part:
        part.write_text(json.dumps(content, separators=(",", ":")))
