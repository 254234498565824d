"""A flipped bit in anything that a run leaves or is fed with is noticed before use, or changes no value that is read.

Bits are drawn evenly over the kinds of files, then over the files of a kind and their bytes, with a fixed seed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from entry import Lab, Outcome, plan_options
from pipeline.artifacts.core import RESERVED, Provenance, opened_any
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.sidecar import read_sidecar, refuse_damaged, write_sidecar
from pipeline.config.loader import load_config
from pipeline.config.stages import stage_json
from pipeline.errors import InputError
from pipeline.model.model_file import load_model, model_digest
from pipeline.raw.sessions import Session, SessionPlan
from pipeline.raw.sheet import read_sheet
from pipeline.stages import ingest
from pipeline.training.checkpoint import DamagedCheckpointError, read_checkpoint


def artifact(path: Path) -> str:
    """Everything that a stage can read of an HDF5 artifact."""
    found: dict[str, Any] = {}
    with opened_any(path) as opened:
        found |= {name: opened.attribute(name) for name in RESERVED} | {"attributes": opened.root_attributes()}
        for name in opened.datasets():
            values = opened.read(name)
            found[name] = [opened.attributes(name), str(values.dtype), values.shape, values.tobytes().hex()]
    return json.dumps(found, sort_keys=True, default=str)


def checkpoint(path: Path) -> str:
    """A checkpoint to resume from."""
    return repr(read_checkpoint(path))


def released_model(path: Path) -> str:
    """As the stage predict and ``python -m pipeline predict`` load it: first what vouches for it, then the file."""
    refuse_damaged(path.with_suffix(".json"))
    model, meta = load_model(path)
    return model_digest(model) + json.dumps(meta, sort_keys=True)


def sidecar(path: Path) -> str:
    return json.dumps(read_sidecar(path), sort_keys=True)


def described(sidecar_file: str) -> Callable[[Path], str]:
    """A file that a sidecar vouches for: whoever uses it looks there first."""

    def read(path: Path) -> str:
        refuse_damaged(path.with_name(sidecar_file))
        return file_sha256(path)

    return read


DIGESTS: dict[Path, str] = {}
Damage = Callable[[Path, random.Random], AbstractContextManager[None]]


def plan_of_ingest(path: Path) -> str:
    """What ingest is told: its parameters hold the digest, which a job compares."""
    digest = DIGESTS.setdefault(path, SessionPlan.parse(path).digest)
    return SessionPlan.read(path, digest).digest


#: Pattern below the work directory -> what reads such files; raises where it notices damage.
KINDS: dict[str, Callable[[Path], str]] = {
    ".snakemake/plan/ingest_*.json": plan_of_ingest,
    "results/recordings/*.h5": artifact,
    "results/aligned/*.h5": artifact,
    "results/mel/*.h5": artifact,
    "results/windows/*.h5": artifact,
    "results/contamination/*.h5": artifact,
    "results/repeats/*.h5": artifact,
    "results/baselines/*/*.h5": artifact,
    "results/predictions/*/*.h5": artifact,
    "results/train/*/fold*/model.ckpt": released_model,
    "results/train/*/fold*/runs/*/model.ckpt": released_model,
    "results/train/*/fold*/*/network.ckpt": released_model,
    "results/train/*/fold*/*/runs/*/network.ckpt": released_model,
    "results/train/*/fold*/*/runs/*/last.ckpt": checkpoint,
    "results/train/*/fold*/*/runs/*/last.ckpt.previous": checkpoint,
    "results/train/*/fold*/metrics.csv": described("model.json"),
    "results/train/*/fold*/model.json": sidecar,
    "results/train/*/fold*/*/metrics.csv": described("network.json"),
    "results/train/*/fold*/*/network.json": sidecar,
    "results/sound/*/*/provenance.json": sidecar,
    "results/sound/*/*/*.wav": described("provenance.json"),
    "results/eval.provenance.json": sidecar,
    "results/eval.json": described("eval.provenance.json"),
    "results/simulated/provenance.json": sidecar,
    "results/simulated/*.npy": described("provenance.json"),
}


@contextmanager
def _changed(path: Path, place: int, content: bytes) -> Iterator[None]:
    """A file with other bytes at a place, and its own again."""

    def write(content: bytes) -> bytes:
        with path.open("r+b") as file:
            file.seek(place)
            before = file.read(len(content))
            file.seek(place)
            file.write(content[: len(before)])
        return before

    before = write(content)
    try:
        yield
    finally:
        write(before)


def flipped(path: Path, generator: random.Random) -> AbstractContextManager[None]:
    """One bit of a file turned over, and back again."""
    bit = generator.randrange(path.stat().st_size * 8)
    with path.open("rb") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
    return _changed(path, bit // 8, bytes([byte ^ 1 << bit % 8]))


def erased(path: Path, generator: random.Random) -> AbstractContextManager[None]:
    """Words of two bytes, 1 to 64 of them, turned into zeros or ones, and back again."""
    place = generator.randrange(max(1, path.stat().st_size // 2)) * 2
    return _changed(path, place, generator.choice([b"\0\0", b"\xff\xff"]) * generator.choice([1, 2, 4, 64]))


def outcome_of(read: Callable[[Path], str], path: Path, truth: str) -> str:
    try:
        return "harmless" if read(path) == truth else "unnoticed"
    except (InputError, DamagedCheckpointError):
        return "noticed"


def count(work: Path, n: int, seed: int, damage: Damage = flipped) -> dict[str, Counter[str]]:
    """Outcomes of ``n`` damages, by kind."""
    generator = random.Random(seed)
    files = {kind: found for kind in KINDS if (found := sorted(work.glob(kind)))}
    truth = {path: KINDS[kind](path) for kind, found in files.items() for path in found}
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in files}
    for i in range(n):
        kind = list(files)[i % len(files)]
        path = generator.choice(files[kind])
        with damage(path, generator):
            outcomes[kind][outcome_of(KINDS[kind], path, truth[path])] += 1
    return outcomes


@pytest.fixture(scope="module")
def spoilt(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished run."""
    work = tmp_path_factory.mktemp("flips") / "work"
    shutil.copytree(chain, work)
    return work


def _reported(outcomes: dict[str, Counter[str]]) -> Counter[str]:
    for kind, found in outcomes.items():
        print(f"{kind:50} {dict(found)}")
    total = sum(outcomes.values(), Counter())
    print(f"{'all':50} {dict(total)}")
    return total


def test_every_kind_of_file_of_a_run_is_flipped(spoilt: Path) -> None:
    absent = {kind for kind in KINDS if not list(spoilt.glob(kind))}
    assert absent <= {"results/train/*/fold*/*/runs/*/last.ckpt.previous"}
    suffixes = {".h5", ".ckpt", ".json", ".csv", ".wav", ".npy"}
    covered = {path for kind in KINDS for path in spoilt.glob(kind)}
    left = {
        str(path.relative_to(spoilt))
        for path in (spoilt / "results").rglob("*")
        if path.suffix in suffixes and path not in covered and not path.name.startswith(".")
    }
    # Caches, copies and exports: nothing reads them, or they are made again from what is checked.
    harmless = ("results/config.json", "results/simulated/truth.json", "results/predictions/", "results/train/")
    assert {name for name in left if not name.startswith(harmless)} == set()


@pytest.mark.parametrize("damage", [flipped, erased])
def test_a_hundred_bits_and_words(spoilt: Path, damage: Damage) -> None:
    total = _reported(count(spoilt, 100, 0, damage))
    assert total["unnoticed"] == 0
    assert total["noticed"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flipped, erased])
def test_a_thousand_bits_and_words(spoilt: Path, damage: Damage) -> None:
    total = _reported(count(spoilt, 1000, 1, damage))
    assert total.total() == 1000
    assert total["unnoticed"] == 0


@pytest.mark.parametrize("is_simulated", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_raw_file_that_changed_after_its_manifest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int, is_simulated: bool
) -> None:
    """The stage ingest compares with what the run was planned with, or with what the stage simulate made."""
    lab = Lab(tmp_path, monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    row = read_sheet(Path("recordings.tsv"))[0]
    files = list(row.files().values())
    session = Session(row.session_name, (row,))
    if is_simulated:
        write_sidecar(Path("provenance.json"), "simulate", files, Provenance())
    content = {} if is_simulated else {str(file): file_sha256(file) for file in files}
    options = [*plan_options("plan.json", SessionPlan.of(session, content)), "--output", "out.h5"]

    def ingest() -> Outcome:
        return lab.script("ingest", stage_json("ingest", load_config([])), *options)

    with flipped(files[seed % 2], random.Random(seed)):
        outcome = ingest()
    assert outcome.code == 2
    assert "its content when the run started" in outcome.errors
    assert not Path("out.h5").exists()
    assert ingest().code == 0


def test_a_raw_file_that_is_replaced_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its size and time are put back afterwards, and even its content."""
    lab = Lab(tmp_path, monkeypatch, capsys)
    copy_neural, raw = ingest._copy_neural, tmp_path / "eeg1.npy"

    def replaced(*arguments: object) -> object:
        before, status = raw.read_bytes(), raw.stat()
        raw.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        copied = copy_neural(*arguments)  # type: ignore[arg-type]
        raw.write_bytes(before)
        os.utime(raw, ns=(status.st_atime_ns, status.st_mtime_ns))
        return copied

    monkeypatch.setattr("pipeline.stages.ingest._copy_neural", replaced)
    outcome = lab.ingest()
    assert outcome.code == 2
    assert "eeg1.npy: got a change while it was read" in outcome.errors
    assert not (tmp_path / "out.h5").exists()
