"""Where a command begins: ``python -m pipeline``, and the console command."""

import os
import sys

# Python searches the working directory first, which may hold files of others.  What Python itself imports before this
# line is out of reach: the console command and ``python -P -m pipeline`` never search there.
if sys.path and os.path.realpath(sys.path[0] or ".") == os.path.realpath("."):
    del sys.path[0]


def command() -> int:
    """:func:`pipeline.cli.command`, which heeds interrupts itself once it is loaded; until then one is no traceback."""
    try:
        from pipeline import cli

        return cli.command()
    except KeyboardInterrupt:
        from pipeline.errors import EXIT_INTERRUPTED

        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(command())
