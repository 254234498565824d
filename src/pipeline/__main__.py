"""``python -m pipeline``."""

import os
import sys

# Python searches the working directory first, which may hold files of others.  What Python itself imports before this
# line is out of reach: the console command and ``python -P -m pipeline`` never search there.
if sys.path and os.path.realpath(sys.path[0] or ".") == os.path.realpath("."):
    del sys.path[0]

from pipeline.start import command

sys.exit(command())
