"""The referee by the whole workflow: made-up brains as raw arrays and a sample sheet, up to ``results/eval.json``.

Features go in as they are (``align.features: given``), so what the workflow reads is what bench/referee.py decodes; the
networks are tiny.  The leak is that of the simulator, since features have no raw signal to leak into.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import HOME
from bench.made_up import FRAME_HZ, RATE_HZ, Array, Sound, noise, spoken
from bench.referee import ALL, NOBODY, REFUSED, Row, features_of, is_wrong, sentence_trials, speaker_trials
from bench.referee_raw import TRIAL_MIN, TRIALS, copied

TINY = {
    "fold": 0, "model": {"preset": "tiny"}, "train": {"max_steps": 30, "steps_per_epoch": 15},
    "vocode": {"iterations": 4}, "evaluate": {"stoi": False, "report": False},
}  # fmt: skip
#: Subject, recording, sound, features, and further cells of the sheet.
Trial = tuple[str, str, Sound, Array, Mapping[str, str]]
GIVEN = {"data": {"sheet": "recordings.tsv"}, "align": {"features": [{"kind": "given"}]}}


def run_chain(folder: Path, rows: Sequence[str], seeds: int, first: int) -> None:
    """Run each row and print its level; a folder that holds an ``eval.json`` is not run again."""
    print("| row | seed | at most | level | result |", "|---|---|---|---|---|", sep="\n")
    for name in rows:
        for seed in range(first, first + seeds):
            level = chain_level((folder / f"{name}{seed}").resolve(), name, seed)
            row = ALL[name]
            right = level == "content" if row.true else not is_wrong(row, level)
            print(f"| {row.text} | {seed} | {row.at_most} | {level} | {'right' if right else 'wrong'} |", flush=True)


def chain_level(folder: Path, name: str, seed: int) -> str | None:
    """The level of one draw, ``refused`` where the stage repeats refuses it."""
    found = folder / "results/eval.json"
    if not found.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        config.write_text(json.dumps(TINY | written(folder, name, seed)))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(HOME / "Snakefile")]
        command += ["--directory", str(folder), "--configfile", str(config), "--cores", "1", "results/eval.json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "in the other one too" in done.stdout + done.stderr:
            return REFUSED
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
    level: str | None = json.loads(found.read_text())["claims"]["level"]
    return level


def written(folder: Path, name: str, seed: int) -> dict[str, Any]:
    """Write the raw arrays and the sheet of one draw; the keys that its config needs."""
    row = ALL[name]
    if row.trials:
        raise SystemExit(f"{name} has no chain: its trials are not written as arrays")
    if name == "leak":
        return {"simulate": {"mode": "contaminated", "minutes": 2.0, "seed": seed}}
    if row.passed_off != "model":
        raise SystemExit(f"{name} has no chain: the workflow passes nothing off as the model")
    cells = [write_trial(folder, *own) for own in trials_of(name, row, seed)]
    columns = list(dict.fromkeys(key for own in cells for key in own))
    lines = [columns, *([own.get(key, "n/a") for key in columns] for own in cells)]
    (folder / "recordings.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return GIVEN | ({"split": {"by": "recording"}} if len(cells) > row.subjects else {})


def trials_of(name: str, row: Row, seed: int) -> list[Trial]:
    """Each trial of a draw."""
    if name == "sentences":
        sounds, features, order = sentence_trials(seed)
        texts = [" ".join(e.label for e in own.events) + f" {k}" for own, k in zip(sounds, order, strict=True)]
        return session_of(sounds, features, "text", texts)
    if name == "speaker_column":
        sounds, features, speakers = speaker_trials(seed)
        return session_of(sounds, features, "speaker", speakers)
    if name == "copies":
        sounds = [spoken(seed * 100 + k, "plain", TRIAL_MIN) for k in range(TRIALS)]
        brains = [noise(len(s.mel), np.random.default_rng([seed, k])).astype(np.float32) for k, s in enumerate(sounds)]
        sounds, brains = copied(sounds, brains, seed)
        return [("s00", f"run{i}", *own, {}) for i, own in enumerate(zip(sounds, brains, strict=True))]
    kinds = [row.brain if number < row.linked else NOBODY for number in range(row.subjects)]
    draws = [features_of(own, seed, number) for number, own in enumerate(kinds)]
    return [(f"s{number:02d}", f"s{number:02d}run", *own, {}) for number, own in enumerate(draws)]


def session_of(sounds: Sequence[Sound], features: Sequence[Array], column: str, values: Sequence[str]) -> list[Trial]:
    """The trials of one session, with a column more of the sheet."""
    cells = [{"session": "one", column: value} for value in values]
    return [("s00", f"run{i:03d}", *own) for i, own in enumerate(zip(sounds, features, cells, strict=True))]


def write_trial(
    folder: Path, subject: str, recording: str, sound: Sound, features: Array, more: Mapping[str, str]
) -> Mapping[str, str]:
    """Write one trial's arrays and events; its row of the sheet."""
    np.save(folder / f"{recording}_eeg.npy", features)
    np.save(folder / f"{recording}_audio.npy", sound.wave)
    events = [f"{e.onset_s}\t{e.duration_s}\t{e.label}\n" for e in sound.events]
    (folder / f"{recording}_events.tsv").write_text("onset\tduration\tlabel\n" + "".join(events))
    cells = {
        "subject": subject, "recording": recording, "eeg": f"{recording}_eeg.npy", "eeg_rate_hz": str(FRAME_HZ),
        "eeg_units": "a.u.", "audio": f"{recording}_audio.npy", "audio_rate_hz": str(RATE_HZ),
        "events": f"{recording}_events.tsv", "simulated": "true",
    }  # fmt: skip
    return cells | dict(more)
