"""Counts of what became of annotations."""

from collections import Counter

from lsts_jax.data.counts import Counts


def test_counts_add_up_and_name_the_first_that_was_lost():
    one, other = Counts(), Counts(read=Counter(cat=1))
    one.read["cat"] += 2
    one.ignored["iscrowd"] += 1
    one.dropped["class dog"] += 3
    one.lose("of no area", "a.json: annotation 7", 2)
    one.lose("of no image", "never", 0)
    other.lose("of no area", "b.json: annotation 1")
    other.lose("of no image", "b.json: annotation 2")
    one.add(other)
    assert one.total == 11
    assert one.losses() == (
        "4 of 11 annotations cannot be used: 3 of no area, first a.json: annotation 7; "
        "1 of no image, first b.json: annotation 2"
    )
    assert Counts(read=Counter(cat=1)).losses() == ""
    assert one.rows() == [
        ("read", "cat", 3),
        ("ignored", "iscrowd", 1),
        ("dropped", "class dog", 3),
        ("lost", "of no area", 3),
        ("lost", "of no image", 1),
    ]
