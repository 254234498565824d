"""Write ``docs/python.ipynb``: the page ``docs/python.md`` as a notebook, to run in the folder of a run.

``python tools/notebook.py`` after an edit of the page; a test compares them, and runs the cells.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
OUTPUT = DOCS / "python.ipynb"


def cells() -> list[dict[str, Any]]:
    """The paragraphs of the page and its examples, in turn; links to other pages become their text."""
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    parts = re.split(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    found: list[dict[str, Any]] = []
    for n, part in enumerate(parts):
        is_code = n % 2 == 1
        text = part if is_code else re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", part)
        own: dict[str, Any] = {"execution_count": None, "outputs": []} if is_code else {}
        kind = "code" if is_code else "markdown"
        if lines := text.strip().splitlines(keepends=True):
            found.append({"cell_type": kind, "metadata": {}, **own, "source": lines})
    return found


def notebook() -> str:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": cells(), "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(notebook(), encoding="utf-8")
