"""Training and evaluation on several devices and in several processes.

Batches are spread over a mesh of devices; one process prints and writes. All processes run the same
program. Joint computations use arrays with a `NamedSharding` over the mesh of all devices; XLA
inserts the communication.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from lsts_jax.errors import UserError

T = TypeVar("T")
Layout = Literal["replicated", "sharded"]

AXIS = "data"
"""The only axis of the mesh; it divides the triplets of a batch."""
SMALL = 2**14
"""Arrays with fewer elements are never sharded: communication would cost more than sharding saves.
"""


def data_mesh(batch_size: int) -> Mesh:
    """Makes a mesh of as many devices as divide the batch evenly.

    Raises `UserError` if a run of several processes cannot use every device.
    """
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    if count < len(devices) and jax.process_count() > 1:
        raise UserError(
            f"config.train.batch_size {batch_size}: cannot be shared evenly by the {len(devices)} devices of "
            f"{jax.process_count()} processes; give a multiple of {len(devices)}"
        )
    return jax.make_mesh((count,), (AXIS,), (AxisType.Auto,), devices=devices[:count])


def own_rows(batch_size: int) -> slice:
    """The rows of a batch that this process loads for its own devices."""
    share = batch_size // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)


def spread_batch(rows: T, mesh: Mesh) -> T:
    """Assembles the global batch on the mesh from the rows that the processes loaded."""
    sharding = NamedSharding(mesh, P(AXIS))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), rows)


def place(tree: T, mesh: Mesh, layout: Layout) -> T:
    """Places arrays that every process has on the devices of a mesh (see `layout_of`)."""

    def put(array, sharding: NamedSharding) -> jax.Array:
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(array), sharding))
        if sharding.is_fully_addressable:
            return jax.device_put(array, sharding)
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(put, tree, layout_of(tree, mesh, layout))


def layout_of(tree: PyTree, mesh: Mesh, layout: Layout) -> PyTree:
    """Sharding of every array.

    replicated: every device holds the whole array. sharded: large arrays are split along the
    longest axis that divides evenly.
    """

    def sharding(array) -> NamedSharding:
        even = [i for i, side in enumerate(array.shape) if side % mesh.size == 0]
        if layout == "replicated" or array.size < SMALL or not even:
            return NamedSharding(mesh, P())
        longest = max(even, key=lambda i: array.shape[i])
        return NamedSharding(mesh, P(*(AXIS if i == longest else None for i in range(array.ndim))))

    return jax.tree.map(sharding, tree)


def whole_copy(tree: T, mesh: Mesh) -> T:
    """NumPy copies of arrays on the mesh, for work in a single process. All processes must call
    this."""
    together = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, P()))
    return jax.device_get(together(tree))


def on_own_device(shapes: PyTree) -> PyTree:
    """The same shapes and dtypes, placed on this process's first device, for restoring."""
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def is_first() -> bool:
    """True in the process that prints and writes."""
    return jax.process_index() == 0


def own_share(items: Sequence[T]) -> list[T]:
    """The items of this process: every N-th for N processes."""
    return list(items[jax.process_index() :: jax.process_count()])


def wait_for_all(name: str) -> None:
    """Blocks until every process has called it."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def largest_of_all(number: int) -> int:
    """Largest number over all processes. All processes must call this."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def any_of_all(flags: np.ndarray) -> np.ndarray:
    """True for flags that are set in any process. All processes must call this, with the same
    number of flags."""
    if jax.process_count() == 1:
        return flags
    return multihost_utils.process_allgather(flags).any(axis=0)
