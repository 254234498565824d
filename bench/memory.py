"""A recording larger than the memory: ``python bench/memory.py [--gigabytes 20] [--limit 1]``.

Writes a raw float32 array of that size (sparse: noise, and holes that read as zeros) and
its sound, then runs ingest and align with ``RLIMIT_DATA`` at so many gigabytes: what a
process allocates, without the pages of files that the system keeps for it.  Prints time
and peak of each; ends with the exit code of the first stage that fails.  Needs disk
space for one copy of the array in the folder that it works in.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME / "src"))

from pipeline.artifacts import paths  # noqa: E402
from pipeline.run.plan import Plan, load_plan  # noqa: E402

EEG_RATE_HZ, AUDIO_RATE_HZ = 2048, 48_000
NOISE_SHARE = 1 / 8
SHEET = """subject\trecording\teeg\teeg_rate_hz\teeg_units\taudio\taudio_rate_hz
large\tlarge_run1\teeg.npy\t{eeg}\tuV\taudio.npy\t{audio}
"""


def write_patterned(path: Path, shape: tuple[int, ...], dtype: type, rate_hz: int, amplitude: float) -> None:
    """An array (time, ...) whose every second begins with noise; the rest are holes in the file."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    values = np.random.default_rng(0).standard_normal((int(NOISE_SHARE * rate_hz), *shape[1:]))
    noise: np.ndarray = (amplitude * values).astype(dtype)
    for start in range(0, shape[0], rate_hz):
        block = array[start : start + len(noise)]
        block[:] = noise[: len(block)]


def prepare(work: Path, size: int, n_channels: int) -> Plan:
    """Raw files of ``size`` bytes, their sheet, and what the workflow would do with them."""
    n = size // (4 * n_channels)
    write_patterned(work / "eeg.npy", (n, n_channels), np.float32, EEG_RATE_HZ, 50.0)
    write_patterned(work / "audio.npy", (n * AUDIO_RATE_HZ // EEG_RATE_HZ,), np.int16, AUDIO_RATE_HZ, 3000.0)
    (work / "recordings.tsv").write_text(SHEET.format(eeg=EEG_RATE_HZ, audio=AUDIO_RATE_HZ))
    os.chdir(work)
    holes = {"ingest": {"max_flat_share": 1.0}}
    return load_plan(HOME, [], [{"data": {"sheet": "recordings.tsv"}}, holes], is_job=False)


def commands(plan: Plan) -> dict[str, list[str]]:
    """The command line of each stage, as the workflow would give it."""
    recording, aligned = "results/recordings/large_run1.h5", "results/aligned/large_run1.h5"
    plan_of_ingest = plan.ingest_plan("large_run1")
    plan.write_ingest_plans()
    inputs = {
        "ingest": [
            "--plan",
            str(paths.ingest_plan("large_run1")),
            "--digest",
            plan_of_ingest.digest,
            "--output",
            recording,
        ],
        "align": ["--recording", recording, "--output", aligned],
    }
    return {
        stage: [
            *(sys.executable, str(HOME / "workflow" / "scripts" / f"{stage}.py")),
            *("--config", plan.config_json(stage), "--log", f"logs/{stage}.log", *files),
        ]
        for stage, files in inputs.items()
    }


def run(command: list[str], limit: int) -> tuple[int, float, float]:
    """Exit code, seconds, and the peak [MB] of its resident memory (mapped pages of files included)."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(HOME / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.perf_counter() - started, usage.ru_maxrss / 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20.0, help="size of the raw array")
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--limit", type=float, default=1.0, help="limit on data memory, in gigabytes")
    parser.add_argument("--work", type=Path, default=None, help="folder to work in (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        plan = prepare(Path(folder), int(options.gigabytes * 1e9), options.channels)
        size_gb, free_gb = Path("eeg.npy").stat().st_size / 1e9, shutil.disk_usage(".").free / 1e9
        print(f"raw array {size_gb:.1f} GB, limit {options.limit:g} GB, {free_gb:.0f} GB of disk free", flush=True)
        for stage, command in commands(plan).items():
            code, seconds, peak_mb = run(command, int(options.limit * 1e9))
            print(f"{stage:8} exit {code}, {seconds:.0f} s, peak resident {peak_mb:.0f} MB", flush=True)
            if code:
                return code
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
