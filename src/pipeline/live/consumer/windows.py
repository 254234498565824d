"""Decode a recording with an exported model that looks ahead: features in, log-mel out, by numpy and onnxruntime alone.

    python consumer.py FEATURES.npy MEL.npy

``FEATURES.npy`` is (frame * rows_per_frame, column) in raw units, columns and times as ``settings.json`` names them, a
whole recording; ``MEL.npy`` is (frame, band) [nats].
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def read(folder, name):
    """The content of a file of the export.  Raises ValueError where it is not what it was."""
    try:
        content = (folder / name).read_bytes()
        if json.loads((folder / "files.json").read_text())[name] == hashlib.sha256(content).hexdigest():
            return content
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise ValueError(f"{folder / name}: got other content, expected that of the export. Fix: Export again")


def decode(folder, rows):
    """Windows that overlap, added up with triangular weights; beyond its ends the recording's edge frames repeat.

    Raises ValueError where a file of ``folder`` is not what it was.
    """
    about = json.loads(read(folder, "settings.json"))
    window = onnxruntime.InferenceSession(read(folder, "window.onnx"))
    m, length, context = about["rows_per_frame"], about["length_frames"], about["context_frames"]
    if about["normalised_by_recording"]:
        std = rows.std(axis=0, dtype=float)
        rows = (rows - rows.mean(axis=0, dtype=float)) / np.where(std > 0, std, 1)
    n, shape = len(rows) // m, np.minimum(np.arange(1.0, length + 1), np.arange(length, 0.0, -1))[:, None]
    last = max(0, n - length)
    total, weight = np.zeros((n + length, about["n_bands"])), np.zeros((n + length, 1))
    for start in np.union1d(np.arange(0, n - length + 1, about["hop_frames"]), [last]):
        wanted = (start - context) * m + np.arange((length + 2 * context) * m)
        found = rows[inside(wanted, n * m, m)][None].astype(np.float32)
        total[start : start + length] += shape * window.run(None, {"rows": found})[0][0]
        weight[start : start + length] += shape
    return (total[:n] / weight[:n]).astype(np.float32)


def inside(index, n, m):
    """Rows for those beyond 0 … n: the m of the frame at the edge, forwards and backwards in turn."""

    def turned(i):
        return np.minimum(i % (2 * m), 2 * m - 1 - i % (2 * m))

    return np.where(index < 0, turned(-1 - index), np.where(index >= n, n - 1 - turned(index - n), index))


if __name__ == "__main__":
    rows = np.load(sys.argv[1])
    try:
        mel = decode(Path(__file__).parent, rows)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    np.save(sys.argv[2], mel)
