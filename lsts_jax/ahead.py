"""Iterators over frames: read-ahead, in which a thread takes items before they are needed, and ends of a
video."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import repeat
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Largest number of frames of a video that are read before they are needed.
READ_AHEAD = 32


class Ahead(Generic[T]):
    """Iterator over an iterable that a thread reads ahead, with at most `limit` items ready.

    An exception of the iterable is raised after all items before it. `close` does not wait for a
    thread that is blocked on an item, for example of a pipe or a camera: the thread ends with that
    item or with the process.
    """

    def __init__(self, items: Iterable[T], limit: int):
        self._ready: deque[T] = deque()
        self._change, self._limit = Condition(), limit
        self._has_ended, self._is_closed = False, False
        self._error: BaseException | None = None
        Thread(target=self._take, args=(items,), daemon=True).start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._change:
            self._change.wait_for(self._has_news)
            if self._ready and not self._is_closed:
                self._change.notify_all()
                return self._ready.popleft()
        error, self._error = self._error, None
        raise StopIteration if error is None else error

    def is_ready(self, seconds: float) -> bool:
        """True if the next item or the end arrives within the time."""
        with self._change:
            return self._change.wait_for(self._has_news, seconds)

    def close(self) -> None:
        """Stops the thread and the iteration."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()

    def _has_news(self) -> bool:
        return bool(self._ready) or self._has_ended or self._is_closed

    def _take(self, items: Iterable[T]) -> None:
        iterator = None
        try:
            iterator = iter(items)
            for item in iterator:
                with self._change:
                    self._change.wait_for(lambda: len(self._ready) < self._limit or self._is_closed)
                    if self._is_closed:
                        break
                    self._ready.append(item)
                    self._change.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            if close := getattr(iterator, "close", None):
                close()
            with self._change:
                self._has_ended = True
                self._change.notify_all()


class _Results(Ahead[Future]):
    def __next__(self):
        return super().__next__().result()


def read_ahead(pool: Executor, read: Callable[[T], Any], items: Iterable[T]) -> Ahead[Any]:
    """`map(read, items)` in a pool, with at most READ_AHEAD results ready; one thread iterates over the
    items."""
    return _Results((pool.submit(read, item) for item in items), READ_AHEAD)


def until_failure(items: Iterable[T], failure: list[Exception]) -> Iterator[T]:
    """Yields the items before an exception, and appends the exception to the list."""
    try:
        yield from items
    except Exception as error:
        failure.append(error)


def repeat_last(items: Iterable[T], count: int) -> Iterator[T]:
    """The items, then the last item `count` more times; nothing if there are no items."""
    last: list[T] = []
    for item in items:
        last = [item]
        yield item
    for item in last:
        yield from repeat(item, count)
