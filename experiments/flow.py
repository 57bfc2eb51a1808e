"""Train a flow network on the true flow of a SynthVID, which stands in for Flying Chairs.

    python -m experiments.flow --data runs/synthvid_s --out runs/methods/flow-seed0

The methods that use flow start from it, as in their papers. Writes flow.npz, the parameters of the
network as a detector names them, and flow.json, with the mean end-point error on the validation videos.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from experiments.record import read_json, write_json
from lsts_jax import cli
from lsts_jax.config import BackboneConfig
from lsts_jax.data.synthvid.dataset import TRUTH, scene_of
from lsts_jax.data.synthvid.flow import TrueFlow, flow_between
from lsts_jax.data.synthvid.layout import clips
from lsts_jax.data.synthvid.scene import find_assets
from lsts_jax.data.synthvid.settings import SynthVIDConfig
from lsts_jax.data.video.pictures import read_picture
from lsts_jax.errors import UserError
from lsts_jax.structs import STRIDE

REACH = 9
"""Most frames between the two of a pair, as DFF samples them."""
WEIGHTS = "flow.npz"
ERRORS = "flow.json"
WEIGHT_DECAY = 1e-4
COARSE_WEIGHT = 0.3
"""Weight of the loss of each coarser level, against 1 of the flow itself."""
MOTION_WEIGHT = 4.0
"""Additional weight of a cell whose flow is at least a cell long; most of the background hardly moves."""


@dataclass(frozen=True)
class Options:
    """Train a flow network on the true flow of a SynthVID."""

    data: Path
    """Folder of the data set."""
    out: Path
    """Folder of flow.npz and flow.json."""
    seed: int = 0
    width: int = 16
    """Channels of the first convolution."""
    steps: int = 5000
    batch_size: int = 8
    """Pairs a step."""
    learning_rate: float = 1e-3
    """Highest rate, of AdamW; it falls to 0 along a cosine."""
    pairs: int = 32
    """Pairs of frames of a video."""


class Pairs(NamedTuple):
    """Pairs of frames and the flow of the first in cells: a mean over each cell, and the share of its pixels
    that are seen in both frames."""

    current: UInt8[np.ndarray, "n H W 3"]
    key: UInt8[np.ndarray, "n H W 3"]
    flow: Float32[np.ndarray, "n h w 2"]
    seen: Float32[np.ndarray, "n h w 1"]


def read_pairs(data: Path, split: str, count: int, seed: int) -> Pairs:
    """Random pairs of every video of a split, at most `REACH` frames apart, in both directions; half of them
    are mirrored.

    Raises `UserError` where `data` holds no SynthVID or lacks a picture.
    """
    if not (data / TRUTH).exists():
        raise UserError(f"{data}: no {TRUTH} in it; render a data set: lsts synthvid")
    settings = SynthVIDConfig(**read_json(data / TRUTH)["settings"])
    assets = find_assets(settings)
    rng = np.random.default_rng(seed)
    found = []
    for clip in tqdm([each for each in clips(settings) if each.split == split], unit="video", desc=split):
        scene, _ = scene_of(settings, assets, clip)
        for _ in range(count):
            frame = int(rng.integers(clip.frames))
            near = np.arange(max(frame - REACH, 0), min(frame + REACH, clip.frames - 1) + 1)
            other = int(rng.choice(near[near != frame]))
            truth = flow_between(scene, frame, other)
            current, key = (
                read_picture(data / "Data" / clip.kind / f"{clip.file(each)}.JPEG") for each in (frame, other)
            )
            if rng.random() < 0.5:
                current, key, truth = mirrored(current, key, truth)
            found.append((current, key, *to_cells(truth.flow, truth.visible)))
    return Pairs(*map(np.stack, zip(*found, strict=True)))


def to_cells(flow: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flow in cells, averaged over what is visible of each cell's pixels, and the share that is.

    A cell is the square of `STRIDE` pixels around the pixel that its position is; pixels outside the picture
    are not visible.
    """
    height, width = visible.shape
    half = STRIDE // 2
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    padded = np.zeros((rows * STRIDE, columns * STRIDE, 3))
    inner = padded[half : half + height, half : half + width]
    inner[...] = np.dstack([flow / STRIDE * visible[..., None], visible])[: len(inner), : inner.shape[1]]
    blocks = padded.reshape(rows, STRIDE, columns, STRIDE, 3).mean((1, 3))
    seen = blocks[..., 2:]
    return (blocks[..., :2] / np.maximum(seen, 1e-6)).astype(np.float32), seen.astype(np.float32)


def batches(pairs: Pairs, size: int, steps: int, seed: int) -> Iterator[Pairs]:
    """Random pairs."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        some = rng.integers(len(pairs.flow), size=size)
        yield Pairs(*(array[some] for array in pairs))


def mirrored(
    current: UInt8[np.ndarray, "H W 3"], key: UInt8[np.ndarray, "H W 3"], truth: TrueFlow
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W 3"], TrueFlow]:
    """The mirror images, pixel by pixel: cells start at the left, and mirrored cells would lie elsewhere."""
    flow, visible = truth.flow[:, ::-1] * (-1, 1), truth.visible[:, ::-1]
    return current[:, ::-1], key[:, ::-1], TrueFlow(flow, visible)


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    import jax
    import jax.numpy as jnp
    import optax
    from flax.traverse_util import flatten_dict

    from lsts_jax.models.flownet import FLOW_SCALE, FlowNet, average_pool

    train = read_pairs(options.data, "train", options.pairs, options.seed)
    val = read_pairs(options.data, "val", options.pairs, 0)
    network = FlowNet(options.width, 0, BackboneConfig().pixel_mean, jnp.float32)
    size = jnp.array(train.current.shape[1:3], jnp.int32)
    cells = jnp.array(train.flow.shape[1:3], jnp.int32)
    rate = optax.cosine_decay_schedule(options.learning_rate, options.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=WEIGHT_DECAY))

    def error(flow, truth, seen):
        """Weighted mean of the end-point error of what is seen, in cells."""
        distance = jnp.sqrt(jnp.sum((flow - truth) ** 2, -1, keepdims=True) + 1e-6)
        length = jnp.linalg.norm(truth, axis=-1, keepdims=True)
        weight = seen * (1 + MOTION_WEIGHT * jnp.minimum(length, 1))
        return jnp.sum(distance * weight) / jnp.maximum(jnp.sum(weight), 1e-6)

    def loss_of(params, pair: Pairs):
        found = network.apply({"params": params}, pair.current, pair.key, size)
        total, truth, seen, here = error(found.flow, pair.flow, pair.seen), pair.flow, pair.seen, cells
        for level in (3, 4, 5, 6):  # of strides 16, 32, 64, 128
            total += COARSE_WEIGHT * error(found.coarse[level] * FLOW_SCALE, truth, seen)
            weight = average_pool(seen, here)
            truth = average_pool(truth * seen, here) / jnp.maximum(weight, 1e-6)
            seen, here = weight, (here + 1) // 2
        return total

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, batch):
        mean_loss = lambda params: jnp.mean(jax.vmap(loss_of, (None, 0))(params, batch))
        loss, gradients = jax.value_and_grad(mean_loss)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    @jax.jit
    def flows(params, current, key):
        return jax.vmap(lambda a, b: network.apply({"params": params}, a, b, size).flow)(current, key)

    first = train.current[0]
    params = network.init(jax.random.key(options.seed), first, first, size)["params"]
    state = optimizer.init(params)
    with tqdm(total=options.steps, unit="step", desc="flow") as bar:
        for batch in batches(train, options.batch_size, options.steps, options.seed):
            params, state, loss = step(params, state, batch)
            bar.update()
            if bar.n % 100 == 0:
                bar.set_postfix(loss=f"{float(loss):.3f}")
    found = [flows(params, val.current[i : i + 48], val.key[i : i + 48]) for i in range(0, len(val.flow), 48)]
    errors = end_point_errors(np.concatenate(found), val)
    cli.make_folder(options.out)
    arrays = flatten_dict({"params": {"flownet": params}}, sep="/")
    np.savez(options.out / WEIGHTS, **{name: np.asarray(array) for name, array in arrays.items()})
    write_json(options.out / ERRORS, errors | {"steps": options.steps, "width": options.width})
    print(", ".join(f"{name} {value:.3f}" for name, value in errors.items()))


def end_point_errors(flow: np.ndarray, pairs: Pairs) -> dict[str, float]:
    """Mean end-point errors in cells over what is seen in both frames: of the network and of no flow at all;
    and both where the true flow is longer than half a cell."""
    errors = {"end-point error": np.linalg.norm(flow - pairs.flow, axis=-1)}
    errors["end-point error of no flow"] = np.linalg.norm(pairs.flow, axis=-1)
    seen = pairs.seen[..., 0]
    moving = seen * (errors["end-point error of no flow"] > 0.5)
    result = {name: float((each * seen).sum() / seen.sum()) for name, each in errors.items()}
    return result | {
        f"{name}, moving": float((each * moving).sum() / moving.sum()) for name, each in errors.items()
    }


if __name__ == "__main__":
    cli.main(run)
