"""Exit statuses of the commands, and one line on stderr for errors that the user can fix."""

import errno
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence

from lsts_jax.errors import Stopped, UserError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


def main(run: Callable[[Sequence[str]], None]) -> None:
    """Runs a command on `sys.argv[1:]` and turns exceptions into an exit status.

    - `UserError`, or a disk that is full or read-only: one line on stderr, status 2.
    - `Stopped`: one line, status 128 + signal.
    - Ctrl-C elsewhere: one line, status 130.
    - Standard output closed by its reader (`lsts … | head`): status 141, as for a program that
    SIGPIPE ends.

    Other exceptions keep their traceback.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lsts_jax").setLevel(logging.INFO)
    _hush_orbax()
    try:
        run(sys.argv[1:])
        sys.stdout.flush()
    except UserError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # nobody reads the rest of the buffer; Python would report an error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        what = f"{error.filename}: " if error.filename else ""
        print(f"error: {what}{error.strerror}; check the disk, or name another folder", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _hush_orbax() -> None:
    """Silences Orbax's reports on single files of a checkpoint; Orbax also raises when a save fails."""

    def unraisable(event):
        if str(event.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(event)

    sys.unraisablehook = unraisable
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
