"""Memory does not grow with the recording: ``bench/memory.py`` with one that is larger than its memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits allocations on Linux only")
def test_a_recording_larger_than_the_memory_goes_through(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench/memory.py")]
    command += ["--gigabytes", "1.5", "--channels", "64", "--limit", "0.3"]
    result = subprocess.run([*command, "--work", str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.findall(r"^(\w+) +exit (\d+)", result.stdout, re.MULTILINE) == [("ingest", "0"), ("align", "0")]
