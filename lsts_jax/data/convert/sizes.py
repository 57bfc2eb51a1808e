"""Height and width of pictures whose format does not give them. Every picture is decoded once here,
instead of at the start of every training."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from lsts_jax.data.convert.converted import Converted
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.video.pictures import read_picture
from lsts_jax.errors import UserError

UNREADABLE = "picture that cannot be read"
THREADS = 8
Size = tuple[int, int]


def read_sizes(tree: Tree, files: Sequence[str]) -> dict[str, Size | None]:
    """Height and width of pictures; None if a picture cannot be read."""

    def size(file: str) -> Size | None:
        try:
            return read_picture(tree.folder / file).shape[:2]
        except UserError:
            return None

    prepare_threads()
    with ThreadPoolExecutor(THREADS) as pool:
        found = tqdm(pool.map(size, files), "pictures", len(files), delay=2.0, dynamic_ncols=True)
        return dict(zip(files, found, strict=True))


def fill_in_sizes(converted: Converted, tree: Tree) -> Converted:
    """Adds the size of every picture; pictures that cannot be read are lost, with their boxes."""
    unknown = [one.file for one in converted.pictures if one.size is None]
    sizes = read_sizes(tree, unknown) | {one.file: one.size for one in converted.pictures if one.size}
    result = converted.choose(i for i, one in enumerate(converted.pictures) if sizes[one.file])
    result.pictures = [one._replace(size=sizes[one.file]) for one in result.pictures]
    unreadable = [file for file in unknown if sizes[file] is None]
    result.counts.lose(UNREADABLE, next(iter(unreadable), ""), len(unreadable))
    if not result.pictures:
        raise UserError(f"{tree.folder / unknown[0]}: cannot be read, and no other picture can; restore them")
    if boxes := len(converted.boxes) - len(result.boxes):
        result.counts.lose(f"box of a {UNREADABLE}", unreadable[0], boxes)
    return result
