"""Real recordings: facial muscle activity with the speaker's voice (EMG-UKA trial corpus), through the whole workflow.

    python bench/emguka.py --data FOLDER [FOLDER …] [--rows "2-1" …] [--work build/emguka] [--cores 1]

``FOLDER`` holds a ``recordings.tsv`` with a row per utterance (docs/import.md); ``EMGUKA`` in the environment,
folders with ``:`` between them, stands for ``--data``.  A row is a session, named speaker-session, in five folds by
utterance.  The rows of minutes test the same utterances after training and validation on so many of the others: their
sheet calls the parts sessions, and ``split.by: session`` keeps them apart.

Each row has a folder under ``--work`` with what its run makes.  A row that was interrupted goes on from there, and of
one that is done only what changed is made again.  ``docs/real_recordings.md`` gets the rows that are done; the others
keep their figures.  Nothing of the recordings leaves ``--work``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "real_recordings.md"
CURVE_PLOT = ROOT / "docs" / "images" / "real_recordings_curve.svg"
START, STOP = "<!-- measured: bench/emguka.py -->", "<!-- end -->"
FILES = ("eeg", "audio", "events")
TESTED = 0.2  # of the curve's utterances
SEED = 0
CONFIG: dict[str, Any] = {
    "data": {"sheet": "recordings.tsv"},
    "fold": "all",
    "split": {"by": "recording", "folds": 5},
    "align": {
        "line_noise_hz": 50.0,
        "features": [{"kind": "band_envelope", "bands": [[20.0, 60.0], [70.0, 170.0], [170.0, 280.0]]}],
    },
    "predict": {"importance": False},
    "export": {"audio": "all"},
}
#: One fold: the sheet names the part to test first, then the one to validate on, then the one to train on.
CURVE: dict[str, Any] = {"fold": 0, "split": {"by": "session", "folds": 3}}
#: Of 2-101: the channels that the contamination check names there.
LEFT_OUT = ["ch002", "ch006"]
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Row:
    """A session of a speaker; ``minutes`` of sound to train and validate on, or all of it in five folds."""

    subject: str
    session: str
    minutes: float | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        return CONFIG | (CURVE if self.minutes else {}) | self.changes


SESSIONS = {"2-1": ("s2", "001"), "4-1": ("s4", "001"), "2-3": ("s2", "003"), "2-101": ("s2", "101")}
ROWS = {
    **{name: Row(*own) for name, own in SESSIONS.items()},
    "2-101 without two": Row("s2", "101", changes={"align": CONFIG["align"] | {"channels": {"exclude": LEFT_OUT}}}),
    **{f"{name} causal": Row(*own, changes={"causal": True}) for name, own in SESSIONS.items()},
    **{f"2-101 {m} min": Row("s2", "101", minutes=m) for m in (2, 4, 8)},
    **{f"{name} 0.5 min": Row(*SESSIONS[name], minutes=0.5) for name in ("2-1", "4-1")},
}


def main() -> int:
    """Run the rows that are not done, then write the table."""
    options = _parser().parse_args()
    given = options.data or [Path(p) for p in os.environ.get("EMGUKA", "").split(os.pathsep) if p]
    for name in options.rows if given else ():
        run(name, given, options.work, options.cores)
    if not given and not options.table:
        print("no recordings are given: --data FOLDER, or EMGUKA in the environment", file=sys.stderr)
        return 2
    write_page(done_rows(options.work))
    return 0


def run(name: str, data: Sequence[Path], work: Path, cores: int) -> None:
    """Run a row; the workflow makes again what the config, the sheet or the code changed."""
    row, folder = ROWS[name], work / name.replace(" ", "_")
    cells = sheet_of(row, data)
    if not cells:
        print(f"{name}: no such session in the given folders", flush=True)
        return
    write_sheet(folder, cells)
    (folder / "config.json").write_text(json.dumps(row.config, indent=1))
    started = time.monotonic()
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.json", "--cores", str(cores)]
    code = subprocess.run(command, cwd=folder, check=False).returncode
    spent_s = time.monotonic() - started + _spent_s(folder)
    (folder / "spent.json").write_text(json.dumps(spent_s))
    if code:
        raise SystemExit(code)
    (folder / "row.json").write_text(json.dumps({"spent_s": spent_s, "cores": cores, "utterances": len(cells)}))


def _spent_s(folder: Path) -> float:
    """What earlier attempts at the row took [s]."""
    file = folder / "spent.json"
    return float(json.loads(file.read_text())) if file.exists() else 0.0


# --- the sheet ------------------------------------------------------------------------------------------------------


def sheet_of(row: Row, data: Sequence[Path]) -> Rows:
    """The rows of a session, with absolute paths, ``modality`` emg and, for the curve, the part as session."""
    found: Rows = []
    for folder in data:
        with (folder / "recordings.tsv").open(newline="", encoding="utf-8") as handle:
            own = [
                c
                for c in csv.DictReader(handle, delimiter="\t")
                if (c["subject"], c["session"]) == (row.subject, row.session)
            ]
        places = [{f: str((folder / c[f]).resolve()) for f in FILES} for c in own]
        found += [c | place | {"modality": "emg"} for c, place in zip(own, places, strict=True)]
    return parts(found, row.minutes) if row.minutes else found


def write_sheet(folder: Path, cells: Rows) -> None:
    """``recordings.tsv`` in a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [list(cells[0]), *(list(c.values()) for c in cells)]
    (folder / "recordings.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))


def parts(cells: Rows, minutes: float) -> Rows:
    """Utterances to test, to validate and to train on, as sessions; those to test are the same for all ``minutes``."""
    order = list(cells)
    Random(SEED).shuffle(order)
    n_test = round(TESTED * len(order))
    test, others = order[:n_test], order[n_test:]
    ends_s = np.cumsum([_seconds(c) for c in others])
    kept = others[: 1 + int(np.searchsorted(ends_s, 60 * minutes))]
    n_validation = max(1, round(0.15 * len(kept)))
    named = {"test": test, "validation": kept[:n_validation], "train": kept[n_validation:]}
    return [c | {"session": name} for name, own in named.items() for c in own]


def _seconds(cells: dict[str, str]) -> float:
    """Length of an utterance's sound."""
    return len(np.load(cells["audio"], mmap_mode="r", allow_pickle=False)) / float(cells["audio_rate_hz"])


# --- the table ------------------------------------------------------------------------------------------------------


def done_rows(work: Path) -> dict[str, dict[str, Any]]:
    """By name, summary and circumstances of the rows that are done."""
    found = {}
    for name in ROWS:
        folder = work / name.replace(" ", "_")
        if (folder / "row.json").exists():
            document = json.loads((folder / "results/eval.json").read_text())
            found[name] = json.loads((folder / "row.json").read_text()) | document
    return found


HEAD = ("session", "trials", "tested [min]", "model r", "speech", "ridge r", "speech", "chance", "claim",
        "MCD [dB]", "ridge", "STOI", "true mel", "contamination", "time [min]")  # fmt: skip


def table(done: dict[str, dict[str, Any]], before: str = "") -> str:
    """A Markdown table of the rows that are done, and of the others as they stand in the table of ``before``."""
    lines = {line.split("|")[1].strip(): line for line in before.splitlines() if line.startswith("|")}
    lines |= {name: f"| {' | '.join(_cells(name, own))} |" for name, own in done.items()}
    head = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    return "\n".join(head + [lines[name] for name in ROWS if name in lines])


def _cells(name: str, done: dict[str, Any]) -> list[str]:
    summary = done["summary"]
    model, ridge, chance = summary["model"], summary["ridge"], summary["chance"]
    folds = [fold for subject in done["subjects"].values() for fold in subject["folds"]]
    minutes = sum(fold["duration_s"] for fold in folds) / 60
    r = [model["pearson_r"], model["pearson_r_speech"], ridge["pearson_r"], ridge["pearson_r_speech"]]
    level = str(done["claims"]["level"] or "not testable").replace("_", " ")
    quality = [model["mcd_db"], ridge["mcd_db"], model["stoi"], summary.get("vocoded_true", {}).get("stoi")]
    leak = _leak(done["contamination"])
    texts = [*map(_number, [*r, chance["pearson_r_p95"]]), level, *(_number(value, 2) for value in quality)]
    return [name, str(done["utterances"]), f"{minutes:.1f}", *texts, leak, f"{done['spent_s'] / 60:.0f}"]


def _leak(found: list[dict[str, Any]]) -> str:
    """The result of the check, with the channels that it suspects, or the leak that it sees in every session."""
    named = [f"{name}, P {p:.1g}" for own in found for name, p in own["suspect_channels"].items()]
    levels = [own["detectable_db"] for own in found]
    results = ", ".join(dict.fromkeys(own["result"] for own in found))
    return f"{results} ({'; '.join(named) or ('no level' if None in levels else f'{max(levels):g} dB')})"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def write_page(done: dict[str, dict[str, Any]]) -> None:
    """Put the table between its marks on the page, and the curve beside it; what stands around them stays."""
    write_curve(done)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    measured, _, after = rest.partition(STOP)
    PAGE.write_text(f"{before}{START}\n\n{table(done, measured)}\n\n{STOP}{after}", encoding="utf-8")


def write_curve(done: dict[str, dict[str, Any]]) -> None:
    """Scores over the minutes of training, where all rows of the curve are done."""
    names = [name for name, row in ROWS.items() if row.minutes and row.session == "101"]
    if not all(name in done for name in names):
        return
    import matplotlib
    from matplotlib.figure import Figure

    minutes = [ROWS[name].minutes for name in names]
    figure = Figure(figsize=(8, 3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, key, title in zip(
        panels, ("pearson_r", "pearson_r_speech"), ("all frames", "speech frames"), strict=True
    ):
        for kind, style in (("model", "o-"), ("ridge", "s--")):
            panel.plot(minutes, [done[name]["summary"][kind][key] for name in names], style, label=kind)
        panel.set(title=title, xlabel="training and validation [min]", xticks=minutes, xlim=(0, None))
    panels[0].set_ylabel("mean correlation over time")
    panels[0].legend(frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "curve"}):
        figure.savefig(CURVE_PLOT, metadata={"Date": None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", help="folders with a recordings.tsv (default: EMGUKA)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "emguka")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only write the table of the rows that are done")
    return parser


if __name__ == "__main__":
    sys.exit(main())
