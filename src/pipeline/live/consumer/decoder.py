"""An exported causal model: samples in, log-mel frames out, by numpy, scipy and onnxruntime alone.

``consumer.py`` shows its use.
"""

import hashlib
import io
import json

import numpy as np
import onnxruntime
from scipy.signal import sosfilt, sosfilt_zi


def read(folder, name):
    """The content of a file of the export.  Raises ValueError where it is not what it was."""
    try:
        content = (folder / name).read_bytes()
        if json.loads((folder / "files.json").read_text())[name] == hashlib.sha256(content).hexdigest():
            return content
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise ValueError(f"{folder / name}: got other content, expected that of the export. Fix: Export again")


class Decoder:
    """One trial after another, each begun by reset; the same mel however its samples are cut.

    Raises ValueError where a file of ``folder`` is not what it was.
    """

    def __init__(self, folder):
        self.about = json.loads(read(folder, "settings.json"))
        self.arrays = dict(np.load(io.BytesIO(read(folder, "filters.npz"))))
        graphs = [read(folder, f"{name}.onnx") for name in ("begin", "step")]
        self.begin, self.step = map(onnxruntime.InferenceSession, graphs)
        self.statistics, self.n_samples, self.n_frames = [(0, 0.0, 0.0, 0.0)], 0, 0  # after each of the last frames
        self.reset()

    def reset(self):
        """Begin a trial: filters and networks know nothing, running normalisation goes on."""
        later = max(0, self.n_frames - self.n_covered())
        self.statistics = self.statistics[: len(self.statistics) - later][-1:]
        self.filters, self.signals, self.n_samples = {}, {}, 0
        self.rows, self.n_frames, self.state = np.zeros((0, len(self.arrays["columns"])), np.float32), 0, None

    def n_covered(self):
        """Frames of the trial up to its last feature: later ones do not count for the next trial's normalisation."""
        about, rate_hz = self.about, self.about["feature_rate_hz"]
        end = self.n_samples + 1 - max(band["taps"] + band["shift"] for band in about["features"]) - 1e-6
        last_s = (np.ceil(end / about["rate_hz"] * rate_hz) - 1) / rate_hz
        return max(0, int(np.floor((last_s - about["first_frame_s"]) * about["frame_rate_hz"])) + 1)

    def push(self, samples):
        """Mel of the steps that samples (sample, channel) complete."""
        if len(samples):
            self.filter(np.asarray(samples, np.float32) @ self.arrays["reference"])
        self.rows = np.concatenate([self.rows, *self.new_frames()])
        return np.concatenate([np.zeros((0, self.about["n_bands"]), np.float32), *self.new_mel()])

    def filter(self, x):
        """Each feature's signal; an envelope is the magnitude of two all-passes in quadrature."""
        for i, band in enumerate(self.about["features"]):
            y = self.filtered(f"band{i}", x.astype(float))
            pair = [self.filtered(f"{name}{i}", y) for name in ("leading", "lagging")]
            y = np.hypot(*pair) if band["envelope"] else y
            before = self.signals.get(i, y[:0])[-self.about["history"] :]
            self.signals[i] = np.concatenate([before, y], dtype=np.float32)
        self.n_samples += len(x)

    def filtered(self, name, x):
        if name not in self.arrays:
            return x
        state = self.filters.get(name)
        if state is None:  # as if the first sample had always been there
            state = sosfilt_zi(self.arrays[name])[:, :, None] * x[0]
        y, self.filters[name] = sosfilt(self.arrays[name], x, axis=0, zi=state)
        return y

    def new_frames(self):
        """Rows of the frames of mel whose samples are there: the latest features at each row's time."""
        about, m = self.about, self.about["rows_per_frame"]
        while self.n_samples:
            seconds = about["first_frame_s"] + (self.n_frames + (np.arange(m) + 0.5) / m - 0.5) / about["frame_rate_hz"]
            number = np.floor(seconds * about["feature_rate_hz"] + 1e-6).clip(about["first_feature"])
            at = number[:, None] / about["feature_rate_hz"] * about["rate_hz"]  # in samples
            columns = [self.feature(i, band, at) for i, band in enumerate(about["features"])]
            if any(column is None for column in columns):
                return
            yield self.normalised(np.concatenate(columns, axis=1)[:, self.arrays["columns"]])
            self.n_frames += 1

    def feature(self, i, band, at):
        """A feature at some times (row, 1): a mean of past samples or a value between two, (row, channel)."""
        samples = np.floor(at + band["shift"] + 1e-6).astype(int) + np.arange(band["taps"])
        if samples.max() >= self.n_samples:
            return None
        weights = np.ones(samples.shape) if band["mean"] else np.maximum(0, 1 - np.abs(samples - at + 1))
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        known = self.signals[i][samples.clip(0) - (self.n_samples - len(self.signals[i]))]  # (row, tap, channel)
        rows = np.einsum("rt,rtc->rc", weights, known)
        return np.log(np.maximum(rows, 1e-12)) if band["log"] else rows

    def normalised(self, rows):
        """By the mean and deviation of all frames so far, where the model was trained on such rows."""
        if not (running := self.about["running"]):
            return rows
        kept = int(self.about["frame_rate_hz"] / self.about["feature_rate_hz"]) + 2
        n, mean, square, weight = self.statistics[-1]
        weight = running["keep"] * weight + 1
        mean = mean + (rows.mean(axis=0, dtype=float) - mean) / weight
        square = square + (np.square(rows, dtype=float).mean(axis=0) - square) / weight
        self.statistics = [*self.statistics[-kept:], (n + 1, mean, square, weight)]
        rows = ((rows - mean) / np.sqrt(np.maximum(square - mean**2, 1e-12 * square + 1e-30))).astype(np.float32)
        return rows.clip(-3, 3) if n < running["settling_frames"] else rows

    def new_mel(self):
        m, first = self.about["rows_per_frame"], self.about["first_frame"]
        if self.state is None and self.n_frames > first:
            self.state = self.begin.run(None, {"rows": self.rows[self.arrays["context_rows"]][None]})
            self.rows = self.rows[first * m :]
        while self.state and len(self.rows) >= self.about["step_frames"] * m:
            rows, self.rows = np.split(self.rows, [self.about["step_frames"] * m])
            state = dict(zip(self.about["state"], self.state, strict=True))
            mel, *self.state = self.step.run(None, {"rows": rows[None], **state})
            yield mel[0]
