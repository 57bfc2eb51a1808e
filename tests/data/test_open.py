"""Data sets that have nothing to be scored are told before a training begins."""

import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.open import open_dataset, require_objects
from lsts_jax.errors import UserError
from tests.data.trees import write_imagenet, write_list, write_sequence


def test_val_lists_without_objects_are_told(tmp_path):
    write_sequence(tmp_path / "S", 3, "2,1,5,5,9,9,0,1,1\n")  # an ignored region
    write_sequence(tmp_path / "T", 3, "3,1,5,5,9,9,1,1,1\n")
    config = DataConfig(root=str(tmp_path), format="mot", class_names=("person",))
    require_objects(open_dataset(config, ("S", "T")), ("S", "T"))
    with pytest.raises(UserError, match=r"val_lists \('S',\): none of the 3 frames has an object"):
        require_objects(open_dataset(config, ("S",)), ("S",))


def test_annotations_that_cannot_be_read_are_no_objects(tmp_path):
    root = write_imagenet(tmp_path)
    write_list(root, "VID_one", "val/v/000001 1", "val/v/000002 2")
    dataset = open_dataset(DataConfig(root=str(root)), ("VID_one",))
    (root / "Annotations/VID/val/v/000001.xml").write_text("")
    require_objects(dataset, ("VID_one",))
    (root / "Annotations/VID/val/v/000002.xml").unlink()
    with pytest.raises(UserError, match="none of the 2 frames"):
        require_objects(dataset, ("VID_one",))
