"""A trained detector as files that run without this package, by `jax.export` (docs/export.md).

    start(weights, pixels, size, scale)                -> memory, boxes, scores, classes, valid
    on_keyframe(weights, memory, pixels, size, scale)  -> memory, boxes, scores, classes, valid
    on_frame(weights, memory, pixels, size, scale)     -> boxes, scores, classes, valid

are the events of `video.py` on one canvas, with `weights` a dictionary of arrays by name, and `memory` an
array, or a dictionary of arrays for temporal methods that carry several. There is no on_keyframe if keyframes
ignore the memory, since it would equal start; a single-frame detector has only start.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, PyTree
from tqdm import tqdm

import lsts_jax
from lsts_jax.api import LoadedDetector
from lsts_jax.data.transforms import Size
from lsts_jax.errors import UserError
from lsts_jax.export.folder import DESCRIPTION, FORMAT, earlier_export, replace_export
from lsts_jax.models.detector import Detector
from lsts_jax.structs import Detections, Frame
from lsts_jax.video import empty_memory, events, keyframe_of

FORMAT_VERSION = 1
WEIGHTS, LOADER, SUFFIX = "weights.npz", "run.py", ".jaxexport"
PLATFORMS = ("cpu", "cuda")


def require_export(folder: Path) -> None:
    """Raises `UserError` if an export cannot be written to `folder`, or would overwrite other
    files."""
    try:
        import flatbuffers  # noqa: F401, used by jax.export to serialise
    except ImportError as error:
        raise UserError("export needs the package flatbuffers: pip install flatbuffers") from error
    earlier_export(folder)


def write_export(folder: Path, loaded: LoadedDetector, canvases: tuple[Size, ...]) -> None:
    """Writes programs for every canvas, weights, description and loader. `folder` exists; an
    earlier export in it is replaced. Raises `UserError` if the detector has adaptive keyframes."""
    require_fixed_keyframes(loaded)
    weights = {name: np.asarray(array) for name, array in flatten_dict(loaded.variables, sep="/").items()}
    files = {LOADER: Path(__file__).with_name("loader.py").read_bytes(), WEIGHTS: _npz(weights)}
    functions = plain_events(loaded.detector)
    described, version = [], None
    with tqdm(total=len(canvases) * len(functions), unit="program", desc="export") as bar:
        for height, width in canvases:
            programs = {}
            for name, function in functions.items():
                file = f"{name}_{height}x{width}{SUFFIX}"
                inputs = input_shapes(loaded, name, (height, width))
                exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(
                    {key: _shape(array) for key, array in weights.items()}, *inputs.values()
                )
                programs[name] = described_program(loaded, name, (height, width), file, exported.out_avals)
                files[file], version = bytes(exported.serialize()), exported.calling_convention_version
                bar.update()
            described.append({"height": height, "width": width, "programs": programs})
    about = describe(loaded) | {
        "calling_convention_version": version,
        "weights": WEIGHTS,
        "canvases": described,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    replace_export(folder, files | {DESCRIPTION: text.encode()})


def require_fixed_keyframes(loaded: LoadedDetector) -> None:
    """Raises `UserError` if the detector has adaptive keyframes."""
    if loaded.detector.temporal.adaptive:
        raise UserError(
            f"config.model.temporal {loaded.config.model.temporal}: adaptive keyframes cannot be exported, "
            "since a loader chooses the event by the frame's number; give the run keyframes by the schedule"
        )


def plain_events(detector: Detector) -> dict[str, Callable]:
    """The events as functions of plain arrays, so that a reader needs no class of this package."""
    start_, on_keyframe_, on_frame_ = events(detector)

    def start(weights, pixels, size, scale):
        memory, found = start_(_nested(weights), Frame(pixels, size, scale))
        return _plain(memory), *found

    def on_keyframe(weights, memory, pixels, size, scale):
        memory = _memory(detector, weights, memory, pixels)
        memory, found = on_keyframe_(_nested(weights), memory, Frame(pixels, size, scale))
        return _plain(memory), *found

    def on_frame(weights, memory, pixels, size, scale):
        memory = _memory(detector, weights, memory, pixels)
        return tuple(on_frame_(_nested(weights), memory, Frame(pixels, size, scale)))

    found: dict[str, Callable] = {"start": start}
    if detector.temporal.keyframes_use_memory:
        found["on_keyframe"] = on_keyframe
    if detector.temporal.frames_use_memory:
        found["on_frame"] = on_frame
    return found


def describe(loaded: LoadedDetector) -> dict:
    """Description of the programs for a loader."""
    data, model = loaded.config.data, loaded.config.model
    temporal = loaded.detector.temporal
    interval = temporal.interval(model.keyframe_interval) if temporal.frames_use_memory else 1
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "lsts_jax": lsts_jax.__version__,
        "jax": jax.__version__,
        "platforms": PLATFORMS,
        "step": loaded.step,
        "class_names": loaded.class_names,
        "pixels": {
            "order": "RGB, uint8, height x width x 3",
            "mean_subtracted_inside": model.backbone.pixel_mean,
            "divided_inside_by": model.backbone.pixel_std,
        },
        "resize": {
            "short_side": data.short_side,
            "long_side": data.long_side,
            "scale": "short_side / min(h, w); long_side / max(h, w) if round(scale * max(h, w)) > long_side",
            "function": "cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)",
            "size": "round(h * scale), round(w * scale), half to even",
        },
        "padding": "zeros on the right and bottom, up to the canvas",
        "boxes": "x1, y1, x2, y2 in pixels of the original picture, corners inclusive",
        "classes": "1 is class_names[0]",
        "keyframe_interval": interval,
        "schedule": model.schedule,
        "keyframe_index": keyframe_of(model.schedule, interval, interval),
        "delay": temporal.delay,
        "score_threshold": model.detections.score_threshold,
        "nms_threshold": model.detections.nms_threshold,
        "max_detections": model.detections.max_detections,
    }


def described_program(
    loaded: LoadedDetector, name: str, canvas: Size, file: str, results: Iterable[Any]
) -> dict:
    """A program's entry in the description: file name, and names, shapes and dtypes of its arrays."""
    arguments = (
        (label, array)
        for key, value in input_shapes(loaded, name, canvas).items()
        for label, array in zip(_names(key, value), jax.tree.leaves(value), strict=True)
    )
    outputs = zip(_outputs(loaded, name, canvas), results, strict=True)
    return {"file": file, "inputs": _describe(arguments), "outputs": _describe(outputs)}


def input_shapes(loaded: LoadedDetector, name: str, canvas: Size) -> dict[str, PyTree]:
    """Shapes of a program's arguments after the weights."""
    frame = _frame(canvas)._asdict()
    if name == "start":
        return frame
    return {"memory": _plain(_memory_shapes(loaded.detector, loaded.variables, canvas)), **frame}


def _outputs(loaded: LoadedDetector, name: str, canvas: Size) -> list[str]:
    """Names of a program's results, one for each array."""
    if name == "on_frame":
        return list(Detections._fields)
    memory = _plain(_memory_shapes(loaded.detector, loaded.variables, canvas))
    return [*_names("memory", memory), *Detections._fields]


def _frame(canvas: Size) -> Frame:
    return Frame(
        jax.ShapeDtypeStruct((*canvas, 3), jnp.uint8),
        jax.ShapeDtypeStruct((2,), jnp.int32),
        jax.ShapeDtypeStruct((), jnp.float32),
    )


def _memory_shapes(detector: Detector, variables: dict, canvas: Size) -> PyTree:
    return jax.eval_shape(partial(empty_memory, detector), variables, _frame(canvas))


def _plain(memory: PyTree) -> PyTree:
    """Converts a memory to an array, or to arrays by name, without classes of this package."""
    leaves = jax.tree_util.tree_leaves_with_path(memory)
    if len(leaves) == 1:
        return leaves[0][1]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _memory(detector: Detector, weights: dict, plain: PyTree, pixels: Array) -> PyTree:
    """The inverse of `_plain`."""
    shapes = _memory_shapes(detector, _nested(weights), (pixels.shape[0], pixels.shape[1]))
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    if len(leaves) == 1:
        return structure.unflatten([plain])
    return structure.unflatten(
        [plain[jax.tree_util.keystr(path, simple=True, separator=".")] for path, _ in leaves]
    )


def _names(name: str, tree: PyTree) -> list[str]:
    """`name`; for a dictionary of arrays, `name.KEY` of every array, in jax's order."""
    return [f"{name}.{key}" for key in sorted(tree)] if isinstance(tree, dict) else [name]


def _shape(array: np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _describe(arrays: Iterable[tuple[str, Any]]) -> list[dict]:
    """Names, shapes and dtypes."""
    return [{"name": name, "shape": x.shape, "dtype": str(x.dtype)} for name, x in arrays]


def _nested(weights: dict) -> dict:
    return unflatten_dict(weights, sep="/")


def _npz(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
