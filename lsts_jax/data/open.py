"""Opens the data set of a config."""

import logging
from contextlib import suppress
from pathlib import Path

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Counted, VideoDataset
from lsts_jax.data.degrade import Degraded
from lsts_jax.data.formats.coco_vid import CocoVID
from lsts_jax.data.formats.imagenet_vid import ImageNetVID
from lsts_jax.data.formats.mot import MOTChallenge
from lsts_jax.data.formats.tfds_source import TFDSVideos
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

READERS = {"imagenet_vid": ImageNetVID, "coco_vid": CocoVID, "mot": MOTChallenge, "tfds": TFDSVideos}


def open_dataset(config: DataConfig, lists: tuple[str, ...]) -> VideoDataset:
    """Opens the data set at `config.root`, with the samples of `lists` (`config.train_lists` or
    `config.val_lists`).

    If `config.class_names` is empty, train and val lists may have different classes: open the
    training lists first, and the validation lists with the `class_names` of the training set.

    Raises `UserError` naming the missing file, or the wrong line of a list.
    """
    dataset = read_dataset(config, lists)
    if isinstance(dataset, Counted) and (losses := dataset.counts.losses()):
        logger.warning("%s; python -m lsts_jax.data.check has the details", losses)
    return dataset


def require_objects(dataset: VideoDataset, lists: tuple[str, ...]) -> None:
    """Raises `UserError` if no sample of the lists has an object of the classes. Stops reading at
    the first that has one. Annotations that cannot be read count as empty."""
    for video, t in dataset.samples:
        with suppress(UserError):
            if not dataset.objects(video, t).ignored.all():
                return
    raise UserError(
        f"config.data.val_lists {lists}: none of the {len(dataset.samples)} frames has an object of "
        "config.data.class_names, so that nothing can be scored; check the class names, or name other lists"
    )


def read_dataset(config: DataConfig, lists: tuple[str, ...]) -> VideoDataset:
    """As `open_dataset`, without a warning about annotations that cannot be used."""
    if not Path(config.root).is_dir():
        raise UserError(
            f"config.data.root {config.root}: no such folder; set --config.data.root to that of the data set"
        )
    if not lists:
        raise UserError("config.data.train_lists or val_lists is empty: name at least one list")
    dataset = READERS[config.format](config, lists)
    return Degraded(dataset, config.degrade) if config.degrade.share else dataset
