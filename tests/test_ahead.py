"""Items taken ahead of time: their order, errors, ends, and sources that nobody waits for."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event
from threading import enumerate as threads
from time import sleep

import pytest

from lsts_jax.ahead import READ_AHEAD, Ahead, read_ahead


def torn(length):
    yield from range(length)
    raise OSError("the tape has torn")


def test_the_order_is_kept_and_errors_come_after_what_came_before():
    with ThreadPoolExecutor(3) as pool:
        assert list(read_ahead(pool, lambda x: x * x, range(100))) == [x * x for x in range(100)]
        read = read_ahead(pool, lambda x: x, torn(40))
        assert [next(read) for _ in range(40)] == list(range(40))
        with pytest.raises(OSError, match="torn"):
            next(read)
        assert list(read) == []
        read = read_ahead(pool, lambda x: 1 // (3 - x), range(9))
        assert [next(read) for _ in range(3)] == [0, 0, 1]
        with pytest.raises(ZeroDivisionError):
            next(read)
        read.close()


def test_an_endless_source_is_left():
    taken = []
    ahead = Ahead((taken.append(n) or n for n in count()), READ_AHEAD)
    assert next(ahead) == 0
    ahead.close()
    assert list(ahead) == []
    sleep(0.05)
    assert len(taken) <= READ_AHEAD + 2


def test_a_source_that_pauses_gives_what_it_has():
    goes_on = Event()

    def source():
        yield from range(3)
        goes_on.wait()

    before = len(threads())
    ahead = Ahead(source(), 32)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    assert not ahead.is_ready(0.01)
    ahead.close()
    assert ahead.is_ready(0.0)
    goes_on.set()
    for _ in range(100):
        if len(threads()) == before:
            return
        sleep(0.01)
    raise AssertionError("the thread has not ended")
