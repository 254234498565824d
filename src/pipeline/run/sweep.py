"""Run the combinations of a ``sweep`` one after another, and tabulate their scores.

All run in one folder: what they share is made once, and a model that was trained before is
found again.  Each leaves its scores and its report in ``results/sweep/{combination}/``, with
a sidecar of all that they depend on; while that sidecar holds, the combination is not run again.
``results/sweep.tsv`` has a row per combination, ``results/sweep.png`` draws it.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.artifacts.files import atomic_path, write_text
from pipeline.artifacts.sidecar import damaged_files, read_sidecar, write_sidecar
from pipeline.config.combinations import Combination
from pipeline.errors import InputError
from pipeline.run.plan import RESOLVED_CONFIG, load_plan

FOLDER = paths.RESULTS / "sweep"
#: The config of each combination: it may name folders, so it is no result that people pass on.
CONFIGS = Path(".snakemake") / "sweep"
TABLE = paths.RESULTS / "sweep.tsv"
FIGURE = paths.RESULTS / "sweep.png"
KEPT = ("eval.json", "scores.tsv", "report.html")
SIDECAR = "provenance.json"
METRICS = ("pearson_r", "pearson_r_speech", "mse", "mcd_db", "stoi")
DONE, FAILED, WAITING = "done", "failed", "waiting"

Row = dict[str, Any]


def run_sweep(
    home: Path,
    combinations: Sequence[Combination],
    run: Callable[[], int],
    config_file: Path = RESOLVED_CONFIG,
    *,
    dry: bool = False,
) -> int:
    """Run what is not yet there; returns 0, or the exit code of the last combination that failed.

    ``run`` makes ``results/eval.json`` from ``config_file``, which is written before.  A combination that
    fails (a learning rate at which training diverges) does not keep the others from running.
    """
    states = dict.fromkeys((c.name for c in combinations), WAITING)
    exit_code = 0
    for number, combination in enumerate(combinations, 1):
        made_from = _made_from(home, combination)
        known = _is_kept(combination, made_from)
        title = f"sweep {number}/{len(combinations)}: {combination.name}"
        print(title + (", scored already" if known else ""), file=sys.stderr, flush=True)
        if not known:
            write_text(config_file, combination.config.model_dump_json(indent=1) + "\n")
            code = run()
            exit_code = code or exit_code
            if code == 0 and not dry:
                _keep(combination, made_from)
        states[combination.name] = WAITING if dry else DONE if known or code == 0 else FAILED
        if not dry:
            write_text(TABLE, table_text(_rows(combinations, states)))
    if not dry:
        _draw(_rows(combinations, states))
    return exit_code


def sweep_summary(table: Path = TABLE) -> str:
    """The table for the terminal, best first, and where everything lies."""
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")), delimiter="\t"))
    rows.sort(key=lambda row: -float(row["pearson_r"] or "-inf"))
    wide = max(len(row["combination"]) for row in rows) + 2
    lines = ["", f"{'combination':{wide}}{'r':>8}{'r speech':>10}{'MSE':>8}{'ridge r':>9}"]
    for row in rows:
        shown = [_short(row[name]) for name in ("pearson_r", "pearson_r_speech", "mse", "ridge_pearson_r")]
        figures = "{:>8}{:>10}{:>8}{:>9}".format(*shown) if row["state"] == DONE else f"  {row['state']}"
        lines.append(f"{row['combination']:{wide}}{figures}")
    return "\n".join([*lines, "", f"table    {table}", f"picture  {FIGURE}", f"each     {FOLDER}/…/report.html"])


def _short(number: str) -> str:
    return f"{float(number):.3f}" if number else "n/a"


def table_text(rows: Sequence[Row]) -> str:
    """Rows as tab-separated text; an empty cell is an undefined value."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter="\t", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _made_from(home: Path, combination: Combination) -> str:
    """All that the scores of a combination depend on, in one name."""
    config = CONFIGS / f"{combination.name}.json"
    write_text(config, combination.config.model_dump_json(indent=1) + "\n")
    return load_plan(home, [config], [], is_job=False).digest()


def _is_kept(combination: Combination, made_from: str) -> bool:
    sidecar = FOLDER / combination.name / SIDECAR
    with suppress(InputError):
        return read_sidecar(sidecar).get("made_from") == made_from and not damaged_files(sidecar)
    return False


def _keep(combination: Combination, made_from: str) -> None:
    from pipeline.artifacts.core import Provenance  # h5py, which a start without a sweep should not wait for

    folder = FOLDER / combination.name
    for name in KEPT:
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(paths.RESULTS / name, temporary)
    config = {key: value for key, value in combination.config.model_dump(mode="json").items() if key != "data"}
    provenance = Provenance(json.dumps(config, sort_keys=True, separators=(",", ":")), {}, [])
    write_sidecar(folder / SIDECAR, "sweep", [folder / name for name in KEPT], provenance, made_from=made_from)


def _rows(combinations: Iterable[Combination], states: Mapping[str, str]) -> list[Row]:
    combinations = list(combinations)
    keys = list(dict.fromkeys(key for c in combinations for key in c.values))
    return [_row(c, keys, states[c.name]) for c in combinations]


def _row(combination: Combination, keys: Iterable[str], state: str) -> Row:
    """``keys`` that a combination leaves alone have the value of the config."""
    row: Row = {"combination": combination.name}
    row |= {key: _text(_value(combination, key)) for key in keys}
    row |= {"state": state} | dict.fromkeys(_columns(), "")
    if state == DONE:
        row |= _scores(json.loads((FOLDER / combination.name / "eval.json").read_text(encoding="utf-8"))["summary"])
    return row


def _columns() -> list[str]:
    return [*METRICS, "pearson_r_low", "pearson_r_high", "ridge_pearson_r", "chance_pearson_r_p95", "p_value"]


def _scores(summary: Mapping[str, Any]) -> Row:
    model, chance = summary["model"], summary["chance"]
    low, high = model["pearson_r_ci95"] or (None, None)
    values = [*(model[m] for m in METRICS), low, high, summary["ridge"]["pearson_r"]]
    values += [chance["pearson_r_p95"], chance["p_value"]]
    return {name: "" if value is None else value for name, value in zip(_columns(), values, strict=True)}


def _value(combination: Combination, key: str) -> Any:
    value: Any = combination.config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _draw(rows: Sequence[Row]) -> None:
    # Drawing takes a second to import, which a run that is ended early should not wait for.
    from pipeline.report.sweep import draw_sweep

    done = [row for row in rows if row["state"] == DONE and row["pearson_r"] != ""]
    if done:
        draw_sweep(done, FIGURE)
