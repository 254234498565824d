"""``python -m pipeline``."""

import sys
from pathlib import Path

# Python searches the working directory first, which may hold files of others.
if sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd():
    del sys.path[0]

from pipeline.cli import main

sys.exit(main())
