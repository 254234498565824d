"""A file that names a filter of its own never gets that filter's code run, whatever HDF5_PLUGIN_PATH says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

FILTER = 32768
PLUGIN = """
#include <stdio.h>
#include <stdlib.h>
static void mark(void) { FILE *f = fopen(getenv("PLUGIN_MARKER"), "w"); if (f) fclose(f); }
static size_t run(unsigned a, size_t b, const unsigned c[], size_t n, size_t *size, void **data) { mark(); return n; }
static const struct { int version, id; unsigned encodes, decodes; const char *name; void *can, *set, *filter; }
    described = {1, 32768, 1, 1, "test", NULL, NULL, (void *)run};
int H5PLget_plugin_type(void) { return 0; }
const void *H5PLget_plugin_info(void) { mark(); return &described; }
"""
# h5py itself offers no filters for a group's links.
WRITE = """
import ctypes, pathlib, sys
import h5py
(library,) = (pathlib.Path(h5py.__file__).parents[1] / "h5py.libs").glob("libhdf5-*")
hdf5 = ctypes.CDLL(str(library))
hdf5.H5Pset_filter.argtypes = [ctypes.c_int64, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p]
hdf5.H5Pset_link_phase_change.argtypes = [ctypes.c_int64, ctypes.c_uint, ctypes.c_uint]
links = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
assert hdf5.H5Pset_link_phase_change(links.id, 0, 0) == 0 == hdf5.H5Pset_filter(links.id, 32768, 0, 0, None)
kind, name = sys.argv[2:]
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    file.attrs["schema"], file.attrs["complete"] = "seeg_to_audio/mel", True
    filtered = links if kind == "links" else None
    group = h5py.Group(h5py.h5g.create(file.id, name.encode(), gcpl=filtered))
    for i in range(20):
        if kind == "links":
            group[f"x{i}"] = [1.0]
        else:
            group.create_dataset(f"x{i}", data=[[1.0] * 9], chunks=(1, 9), compression=32768)
"""
COMMANDS = {
    "inspect": (["inspect", "file.h5"], "mel"),
    "plot": (["plot", "file.h5"], "mel"),
    "NWB": (["import", "file.nwb", "--out", "raw", "--yes"], "acquisition"),
    "MATLAB": (["import", "file.mat", "--out", "raw", "--yes"], "data"),
}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a filter that leaves a marker when it is loaded or run."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile a filter of HDF5 with; install one (apt-get install gcc)")
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "plugin.c").write_text(PLUGIN)
    command = ["gcc", "-shared", "-fPIC", "-o", str(folder / "libplugin.so"), str(folder / "plugin.c")]
    subprocess.run(command, check=True)
    return folder


def surroundings(plugins: Path, marker: Path) -> dict[str, str]:
    """Of a process that finds the filter; without what an import of the package here has switched off."""
    own = {name: value for name, value in os.environ.items() if name != "HDF5_PLUGIN_PRELOAD"}
    return {**own, "HDF5_PLUGIN_PATH": str(plugins), "PLUGIN_MARKER": str(marker), "PYTHONPATH": str(ROOT / "src")}


@pytest.mark.parametrize("kind", ["links", "data"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_filter_of_the_file_s_own_is_not_run(plugins: Path, tmp_path: Path, command: str, kind: str) -> None:
    arguments, group = COMMANDS[command]
    marker = tmp_path / "marker"
    environment = surroundings(plugins, marker)
    write = [sys.executable, "-c", WRITE, str(tmp_path / arguments[1]), kind, group]
    subprocess.run(write, check=True, env=environment)
    assert marker.exists(), "the attack works where nobody stops it"
    marker.unlink()
    run = [sys.executable, "-m", "pipeline", *arguments]
    result = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert not marker.exists()
    assert result.returncode == 2, result.stderr
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_program_that_imported_h5py_first_runs_no_filter_either(plugins: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    environment = surroundings(plugins, marker)
    subprocess.run([sys.executable, "-c", WRITE, "file.h5", "links", "mel"], check=True, env=environment, cwd=tmp_path)
    marker.unlink()
    code = "import h5py, pathlib; from pipeline.artifacts.inspection import describe; describe(pathlib.Path('file.h5'))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "InputError" in result.stderr
    assert not marker.exists()
