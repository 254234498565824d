"""Minutes of a new session that are needed, with and without the speaker's other sessions (EMG-UKA, docs/pooling.md).

    python -m bench.pooling --data FOLDER [FOLDER …] [--rows "2-101 1 min" …] [--work build/pooling]

A fifth of a session's utterances is tested, always the same ones, after training on so many minutes of the others or on
all of them.  *With others*: training starts from a model of the speaker's other sessions, told apart by
``train.scale_by: session``, whose sheet lacks the tested sentences, at a third of the learning rate.
Prints a line for each row that is done.  Rows, data and what is kept are those of ``bench/emguka.py``.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import emguka

OTHERS = {"101": ("001", "003"), "001": ("003", "101"), "003": ("001", "101")}
ALL = 99.0
MINUTES = {"101": (1.0, 2.0, 4.0, 8.0, ALL), "001": (ALL,), "003": (ALL,)}
ROWS = {f"2-{int(s)} {'all' if m == ALL else f'{m:g} min'}": (s, m) for s, own in MINUTES.items() for m in own}
COMMON: dict[str, Any] = {"export": {"audio": "none"}, "evaluate": {"report": False}}
#: Of the other sessions nearly all is trained on: one of twenty folds.
BEFORE: dict[str, Any] = {"fold": 0, "split": {"by": "recording", "folds": 20}, "train": {"scale_by": "session"}}
FINE = {"lr": 0.0007}


def main() -> int:
    """Run the rows and print their scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with a recordings.tsv")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--work", type=Path, default=emguka.ROOT / "build" / "pooling")
    options = parser.parse_args()
    print("| session, training | model alone: r, speech | with others | ridge |\n|---|---|---|---|")
    for name in options.rows:
        session, minutes = ROWS[name]
        row = emguka.Row("s2", session, minutes=minutes)
        cells = emguka.sheet_of(row, options.data)
        first = _model_of_others(session, cells, options.data, options.work)
        folder, config = options.work / name.replace(" ", "_"), row.config | COMMON
        alone = scores(folder, cells, config)
        both = scores(folder, cells, config | {"train": FINE | {"init_from": str(first)}})
        print(f"| {name} | {_cell(alone['model'])} | {_cell(both['model'])} | {_cell(alone['ridge'])} |", flush=True)
    return 0


def _model_of_others(session: str, cells: emguka.Rows, data: Sequence[Path], work: Path) -> Path:
    """The model of the speaker's other sessions."""
    folder = work / f"before_{session}"
    scores(folder, sheet_of_others(session, cells, data), emguka.CONFIG | COMMON | BEFORE)
    return (folder / "results/train/s2/fold0/model.ckpt").resolve()


def sheet_of_others(session: str, cells: emguka.Rows, data: Sequence[Path]) -> emguka.Rows:
    """The rows of the other sessions without the sentences that ``cells`` test."""
    tested = {sentence(c) for c in cells if c["session"] == "test"}
    others = [c for s in OTHERS[session] for c in emguka.sheet_of(emguka.Row("s2", s), data)]
    return [c for c in others if sentence(c) not in tested]


def sentence(cells: dict[str, str]) -> str:
    """What an utterance says, from its events."""
    with Path(cells["events"]).open(newline="", encoding="utf-8") as handle:
        events = sorted(csv.DictReader(handle, delimiter="\t"), key=lambda event: float(event["onset"]))
    return " ".join(event["trial_type"] for event in events)


def scores(folder: Path, cells: emguka.Rows, config: dict[str, Any]) -> dict[str, Any]:
    """The summary of a run in a folder; what is done there is not run again."""
    emguka.write_sheet(folder, cells)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    command = [sys.executable, str(emguka.ROOT / "main.py"), "--config", "config.json", "--cores", "1"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    summary: dict[str, Any] = json.loads((folder / "results/eval.json").read_text())["summary"]
    return summary


def _cell(found: dict[str, float]) -> str:
    return f"{found['pearson_r']:.3f} / {found['pearson_r_speech']:.3f}"


if __name__ == "__main__":
    sys.exit(main())
