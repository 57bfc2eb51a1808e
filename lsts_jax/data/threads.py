"""Setting a process up to decode pictures in threads."""

import ctypes
import sys
from functools import cache

import cv2

# glibc's mallopt: largest block from the heap, and free bytes at its top that are kept (malloc/malloc.h).
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
LARGEST_PICTURE, KEPT_FREE = 32 << 20, 1 << 30


@cache
def prepare_threads() -> None:
    """Once a process, before threads decode pictures side by side.

    OpenCV's own threads would only be in their way. Under Linux the C library returns the memory of every
    picture to the system when it is freed, and clearing the pages of the next can take as long as two thirds
    of its decoding: it is told to keep them.
    """
    cv2.setNumThreads(1)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt:
            mallopt(M_MMAP_THRESHOLD, LARGEST_PICTURE)
            mallopt(M_TRIM_THRESHOLD, KEPT_FREE)
