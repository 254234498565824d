"""The power of a raw signal's frames: one formula for arrays and tensors, floors, edges."""

from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from pipeline.model import network
from pipeline.signal.frame_power import FLOOR_SHARE, SMALLEST_FLOOR, edge_rows, frame_power, power_floor

M = 5
SCALES = np.array([1e-12, 1e-6, 1.0, 1e6, 0.0], np.float32)


def raw(n_frames: int = 60) -> np.ndarray:
    """Channels of very different scale, a stretch without signal, and a flat channel."""
    rows = np.random.default_rng(0).normal(size=(n_frames * M, len(SCALES))).astype(np.float32)
    rows[10 * M : 12 * M] = 0
    return rows * SCALES + np.float32(3.0) * (SCALES == 0)


def test_arrays_and_tensors_agree() -> None:
    rows = raw()
    floor = power_floor([rows], [(0, 0, 60)], M)
    found = network.frame_power(torch.from_numpy(rows)[None], M, torch.from_numpy(floor)[None, None])[0]
    assert_allclose(found, frame_power(rows, M, floor), atol=1e-5)


def test_the_unit_of_a_channel_does_not_matter() -> None:
    power = frame_power(raw(), M, power_floor([raw()], [(0, 0, 60)], M))
    shift = 2 * np.log(SCALES[:4].astype(np.float64))
    own = raw() / np.where(SCALES > 0, SCALES, 1)
    unit = frame_power(own, M, power_floor([own], [(0, 0, 60)], M))
    assert_allclose(power[:, :4] - shift, unit[:, :4], atol=2e-5)
    assert_allclose(power[:, 4], np.log(SMALLEST_FLOOR), rtol=1e-6)


def test_the_floor_is_a_share_of_the_mean_power_of_the_spans_and_of_nothing_else() -> None:
    rows = raw()
    floor = power_floor([rows], [(0, 20, 30), (0, 40, 50)], M)
    change = np.diff(rows.reshape(60, M, -1), axis=1)[np.r_[20:30, 40:50]]
    assert_allclose(floor[:4], FLOOR_SHARE * np.square(change.astype(np.float64)).mean(axis=(0, 1))[:4], rtol=1e-5)
    rows[:20] *= 9
    rows[:, 3] *= 9
    assert_array_equal(power_floor([rows], [(0, 20, 30), (0, 40, 50)], M)[:3], floor[:3])


def test_a_frames_power_follows_from_its_own_rows() -> None:
    rows = raw()
    floor = power_floor([rows], [(0, 0, 60)], M)
    assert_array_equal(frame_power(rows[15 * M : 20 * M], M, floor), frame_power(rows, M, floor)[15:20])


def test_beyond_an_edge_the_edge_frame_repeats() -> None:
    assert_array_equal(edge_rows(np.arange(-7, 9), 0, 6, 3), [0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 3, 4, 5, 5, 4, 3])
    assert_array_equal(edge_rows(np.arange(-2, 6), 1, 4, 1), [1, 1, 1, 1, 2, 3, 3, 3])
    rows = raw()
    floor = power_floor([rows], [(0, 0, 60)], M)
    padded = frame_power(rows[edge_rows(np.arange(-3 * M, 63 * M), 0, 60 * M, M)], M, floor)
    assert_allclose(padded, np.pad(frame_power(rows, M, floor), ((3, 3), (0, 0)), mode="edge"), atol=1e-5)
