"""``python -m pipeline``."""

import sys
from pathlib import Path

# Python looks for modules in the working directory first, where anybody's files may lie.
if sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd():
    del sys.path[0]

from pipeline.cli import main

sys.exit(main())
