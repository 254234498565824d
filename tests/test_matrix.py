"""Tiny whole chains: every kind of feature with pooled, causal, unequal channels, and one or many recordings."""

from __future__ import annotations

import csv
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from conftest import snakemake
from pipeline.artifacts.aligned import aligned_trials, feature_columns
from pipeline.artifacts.windows import read_windows
from pipeline.config.simulate import SimulateConfig
from pipeline.model.model_file import load_model
from pipeline.simulation.subject import write_subjects

CHANNELS = 6
GIVEN_DECIMATION = 8  # of 1024 Hz: 128 Hz, faster than the mel
SETTINGS: dict[str, Any] = {
    "data": {"sheet": "raw/recordings.tsv"},
    "split": {"folds": 2, "validation_fraction": 0.2},
    "model": {"preset": "tiny"},
    "train": {"max_steps": 4, "steps_per_epoch": 2},
    "vocode": {"iterations": 1},
    "export": {"audio": "none"},
    "predict": {"importance": False},
    "evaluate": {"bootstrap": 100, "report_examples": 1},
}
#: Entries of align.features, further keys of align, and columns for each channel.
KINDS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], int]] = {
    "band_envelope": ([{"kind": "band_envelope", "log": True}], {}, 1),
    "stacked": ([{"kind": "band_envelope", "bands": [[30, 60], [70, 170]]}, {"kind": "low_pass"}], {}, 3),
    "low_pass": ([{"kind": "low_pass", "cutoff_hz": 10.0}], {}, 1),
    "signal": ([{"kind": "signal"}], {"feature_rate_hz": 200.0}, 1),
    "given": ([{"kind": "given"}], {"channels": {"find_bad": False}}, 1),
}


def shapes(odd: bool) -> list[tuple[bool, bool, bool, bool]]:
    """Pooled, causal, many and unequal of the three rows of a kind, for kinds at odd places in the table and others."""
    pooled = [(False, odd, True), *((True, causal, causal == odd) for causal in (False, True))]
    return [(pool, causal, pool != causal, unequal) for pool, causal, unequal in pooled]


ROWS = [(kind, *shape) for i, kind in enumerate(KINDS) for shape in shapes(bool(i % 2))]


def rows_of(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def drop_a_channel(raw: Path, row: dict[str, str]) -> None:
    """The recording without its last channel."""
    eeg = np.load(raw / row["eeg"])
    np.save(raw / row["eeg"], eeg[:, :-1])
    for table in ("channels", "electrodes"):
        write_table(raw / row[table], rows_of(raw / row[table])[: eeg.shape[1] - 1])


def make_features_of(raw: Path, row: dict[str, str]) -> None:
    """The recording's amplitude at a lower rate in place of the signal: input that already is a feature."""
    eeg = np.load(raw / row["eeg"]).astype(np.float32)
    n = len(eeg) // GIVEN_DECIMATION
    change = np.abs(np.diff(eeg, axis=0, prepend=eeg[:1]))
    np.save(raw / row["eeg"], change[: n * GIVEN_DECIMATION].reshape(n, GIVEN_DECIMATION, -1).mean(axis=1))
    row["eeg_rate_hz"] = str(float(row["eeg_rate_hz"]) / GIVEN_DECIMATION)
    row |= {"eeg_units": "a.u.", "eeg_gain_uv": "n/a"}
    channels = rows_of(raw / row["channels"])
    for channel in channels:
        channel |= {"units": "n/a"} if "units" in channel else {}
        channel["sampling_frequency"] = row["eeg_rate_hz"]
    write_table(raw / row["channels"], channels)


def write_raw(raw: Path, kind: str, *, subjects: int, many: bool, unequal: bool) -> None:
    """Recordings of 40 s in all for each subject; where ``unequal``, the first subject has a channel less."""
    n = 2 if many else 1
    config = SimulateConfig(
        minutes=40 / 60 / n, channels=CHANNELS, subjects=subjects, recordings=n, dead_channels=0, noisy_channels=0
    )
    rows = rows_of(write_subjects(config, raw))
    for row in rows:
        if unequal and row["subject"] == "sim01":
            drop_a_channel(raw, row)
        if kind == "given":
            make_features_of(raw, row)
    write_table(raw / "recordings.tsv", rows)


def run(work: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The chain's eval.json."""
    (work / "config.yaml").write_text(yaml.safe_dump(settings))
    result = snakemake(work, "results/eval.json")
    assert result.returncode == 0, result.stdout[-4000:]
    document: dict[str, Any] = json.loads((work / "results/eval.json").read_text())
    return document


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "pooled", "causal", "many", "unequal"), ROWS)
def test_a_chain_of_every_kind(
    kind: str, pooled: bool, causal: bool, many: bool, unequal: bool, tmp_path: Path
) -> None:
    features, keys, columns = KINDS[kind]
    write_raw(tmp_path / "raw", kind, subjects=2 if pooled else 1, many=many, unequal=unequal)
    train = SETTINGS["train"] | {"pool": "subjects" if pooled else "none"}
    settings = SETTINGS | {"align": {"features": features, **keys}, "causal": causal, "train": train}
    document = run(tmp_path, settings)
    assert document["audit"]["shared_samples"] == 0
    assert math.isfinite(document["summary"]["model"]["pearson_r"])
    assert len(document["subjects"]) == (2 if pooled else 1)
    for path in (tmp_path / "results/aligned").glob("*.h5"):
        channels = CHANNELS - (unequal and path.name.startswith("sim01"))
        assert len(set(feature_columns(path))) == channels * columns
        [info] = aligned_trials(path)
        assert info.causal == causal
        assert (info.support_future_s == 0) == causal or kind == "given"


@pytest.mark.slow
def test_another_hop_and_other_bands_keep_the_seconds(tmp_path: Path) -> None:
    """Hop 200 and 100 bands: 110.25 frames a second."""
    write_raw(tmp_path / "raw", "band_envelope", subjects=1, many=False, unequal=False)
    run(tmp_path, SETTINGS | {"mel": {"hop_length": 200, "n_mels": 100}})
    windows = read_windows(tmp_path / "results/windows/sim01.h5").attributes
    rate_hz = float(windows["frame_rate_hz"])
    assert rate_hz == 22050 / 200
    expected_s = {"length_frames": 1.12, "context_frames": 0.3, "hop_frames": 0.28}
    for name, duration_s in expected_s.items():
        assert int(windows[name]) / rate_hz == pytest.approx(duration_s, abs=0.5 / rate_hz)
    _, meta = load_model(tmp_path / "results/train/sim01/fold0/model.ckpt")
    assert meta["hop_frames"] == windows["hop_frames"]
    assert meta["config"]["window"] == {"length_s": 1.12, "context_s": 0.3}


def test_the_rows_hold_every_pair_of_values() -> None:
    """A kind with each value of every switch, and two switches with each other's."""
    for first, second in itertools.combinations(range(5), 2):
        found = {(row[first], row[second]) for row in ROWS}
        every = set(itertools.product(*({row[place] for row in ROWS} for place in (first, second))))
        alone = {(False, False)} if (first, second) == (1, 4) else set()  # a subject that differs from no other
        assert every - found == alone, (first, second)
