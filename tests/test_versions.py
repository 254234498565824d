"""Each output says with which versions it was made; ``verify`` and the report say where these differ."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import cli
from pipeline.artifacts import versions
from pipeline.artifacts.checksums import ATTRIBUTES_CHECKSUM, attributes_checksum
from pipeline.artifacts.core import Provenance, Schema, all_attributes, create, header
from pipeline.artifacts.sidecar import read_sidecar, write_sidecar
from pipeline.provenance.freshness import Freshness, made_with_others
from pipeline.provenance.outputs import Output

SCHEMA = Schema("sample", 1, "align")


def write(path: Path) -> Path:
    with create(path, SCHEMA, Provenance()) as writer:
        writer.array("features/data", np.arange(6.0), ["time"])
    return path


def install(monkeypatch: pytest.MonkeyPatch, found: Mapping[str, str]) -> None:
    monkeypatch.setattr(versions, "installed", lambda: found)


def test_versions_are_recorded_and_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = header(write(tmp_path / "a.h5"))
    assert before["versions"]["numpy"] == np.__version__
    assert before["versions"]["python"] == platform.python_version()
    monkeypatch.setattr(versions, "installed", lambda: {"python": "3.99.0"})
    after = header(write(tmp_path / "b.h5"))
    assert after["versions"] == {"python": "3.99.0"}
    assert after["content_digest"] == before["content_digest"]


def test_a_sidecar_records_versions_and_they_are_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"weights")
    digests = []
    for found in ({"numpy": "1.0"}, {"numpy": "2.0"}):
        monkeypatch.setattr(versions, "installed", lambda found=found: found)
        write_sidecar(tmp_path / "model.json", "train", [tmp_path / "model.ckpt"], Provenance())
        read = read_sidecar(tmp_path / "model.json")
        assert read["versions"] == found
        digests.append(read["content_digest"])
    assert digests[0] == digests[1]


def test_versions_come_from_metadata_and_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PACKAGES", ("numpy", "no-such-package"))
    assert list(versions.installed.__wrapped__()) == ["python", "numpy"]
    code = "import sys, pipeline.artifacts.versions as v; v.installed(); print({'torch', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Output]:
    """Two artifacts and a model, made with numpy 1.0 and 1.1, and an output that is not there."""
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    described_by = ["results/a.h5", "results/b.h5", "results/model.json", "results/missing.h5"]
    install(monkeypatch, {"python": "3.11.1", "numpy": "1.0"})
    write(Path("results/a.h5"))
    install(monkeypatch, {"python": "3.11.1", "numpy": "1.1", "torch": "2.0"})
    write(Path("results/b.h5"))
    write_sidecar(Path("results/model.json"), "train", [], Provenance())
    return [Output(name, "align", name, "{}", {}, ()) for name in described_by]


def test_nothing_is_said_of_versions_that_are_installed(outputs: list[Output], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"python": "3.11.1", "numpy": "1.1", "torch": "2.0", "soxr": "1.0"})
    assert made_with_others(outputs[1:]) == []


def test_a_line_per_package_that_is_another_now(outputs: list[Output], monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"python": "3.11.1", "numpy": "2.0"})
    assert made_with_others(outputs) == [
        "numpy: 3 outputs made with 1.0, 1.1; installed is 2.0",
        "torch: 2 outputs made with 2.0; installed is none",
    ]


def test_verify_says_so_and_still_finds_the_results_good(
    outputs: list[Output], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = SimpleNamespace(outputs=lambda: outputs[:2], freshness=Freshness)
    monkeypatch.setattr(cli, "_plan", lambda options: plan)
    install(monkeypatch, {"python": "3.11.1", "numpy": "1.1", "torch": "2.0"})
    assert cli.main(["verify", "results"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "numpy: 1 output made with 1.0; installed is 1.1",
        "2 of 2 outputs are whole, undamaged and belong together",
    ]


def test_an_output_of_before_versions_were_recorded_is_read(tmp_path: Path) -> None:
    import h5py

    with h5py.File(write(tmp_path / "a.h5"), "r+") as file:
        del file.attrs["versions"]
        file.attrs[ATTRIBUTES_CHECKSUM] = attributes_checksum(all_attributes(file))
    assert header(tmp_path / "a.h5")["versions"] == {}
