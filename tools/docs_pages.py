"""What the documentation has besides the files in ``docs/``: the order of pages, the config keys, the reference.

A hook of MkDocs (``mkdocs.yml``).  The reference has a page per part of the library, with the
docstrings of its modules; links of pages to files outside ``docs/`` are shown as plain paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "pipeline"
#: Sections in their order; a page that is not there is left out, one that is not named here goes to the end.
SECTIONS = {
    "": ["index.md"],
    "First steps": ["tutorial.md", "faq.md"],
    "How to": [
        "import.md", "single_word_production_dutch.md", "snakemake.md", "cluster.md", "sweeps.md", "pooling.md",
        "new_recordings.md", "live.md", "vocoding.md", "python.md", "plots.md", "gallery.md", "eval_json.md",
        "own_model.md", "own_feature.md", "reliability.md",
    ],
    "Design": ["design.md", "caching.md", "decoder.md", "real_recordings.md", "statistics.md", "referee.md"],
    "Reference": ["configuration.md", "reference/python.md"],
    "For developers": ["benchmarks.md", "reference/"],
    "About": ["renamed.md", "privacy.md", "licences.md"],
}  # fmt: skip
PARTS = (
    "stages", "signal", "data", "model", "baselines", "training", "evaluation", "report", "vocoder", "simulation",
    "raw", "artifacts", "provenance", "config", "importing", "live", "doctor", "run",
)  # fmt: skip


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for uri, text in _generated():
        files.append(File.generated(config, uri, content=text))
    config["nav"] = _nav([file.src_uri for file in files.documentation_pages()])
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links that leave ``docs/`` become the path that they name."""
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)+([^)]+)\)", r"\1 (`\2`)", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings name things as Sphinx does, :class:`Name`: only the name is shown."""
    return re.sub(r":(?:class|func|meth|mod|data|attr):(?=<code>)", "", html)


def _generated() -> Iterator[tuple[str, str]]:
    yield "configuration.md", (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    yield (
        "reference/python.md",
        "# Python reference\n\n::: pipeline.api\n    options:\n      show_root_full_path: false\n",
    )
    for part in PARTS:
        if (PACKAGE / part).is_dir():
            yield f"reference/{part}.md", _reference(f"pipeline.{part}", (PACKAGE / part).glob("*.py"))
    yield (
        "reference/workflow.md",
        _reference("pipeline", (file for file in PACKAGE.glob("*.py") if file.stem != "api"), "The rest of pipeline"),
    )


def _reference(package: str, files: Iterator[Path], title: str = "") -> str:
    names = [package if f.stem == "__init__" else f"{package}.{f.stem}" for f in sorted(files)]
    modules = [name for name in names if not name.endswith("__main__") and _has_content(name)]
    return "\n\n".join([f"# {title or package}", *(f"::: {name}" for name in modules)])


def _has_content(name: str) -> bool:
    path = ROOT / "src" / Path(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return len(file.read_text(encoding="utf-8").splitlines()) > 1


def _nav(uris: list[str]) -> list[Any]:
    nav: list[Any] = []
    named = [page for pages in SECTIONS.values() for page in pages]
    for title, pages in SECTIONS.items():
        found = [
            uri
            for page in pages
            for uri in sorted(uris)
            if uri == page or (page[-1] == "/" and page in uri and uri not in named)
        ]
        if title == "About":
            found += [u for u in sorted(uris) if u not in named and not u.startswith("reference/")]
        nav += [{title: found}] if title else [{"Home": "index.md"}]
    return nav
