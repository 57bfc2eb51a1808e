"""Preparation of a process that decodes pictures in threads."""

import ctypes
import sys
from functools import cache

import cv2

# glibc's mallopt: largest block from the heap, and free bytes at its top that are kept (malloc/malloc.h).
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
LARGEST_PICTURE, KEPT_FREE = 32 << 20, 1 << 30


@cache
def prepare_threads() -> None:
    """Call once per process, before threads decode pictures in parallel.

    Turns off OpenCV's own threads, which would compete with them. Under Linux, also makes the C
    library keep freed memory: by default it returns the memory of every picture to the operating
    system, and clearing the pages for the next picture can take two thirds of the decoding time.
    """
    cv2.setNumThreads(1)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no mallopt
        if mallopt:
            mallopt(M_MMAP_THRESHOLD, LARGEST_PICTURE)
            mallopt(M_TRIM_THRESHOLD, KEPT_FREE)
