"""What networks are trained on: the arrays of all their recordings, and the windows that train and validate.

No torch in here: ridge reads the same data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.data.intervals import merge_windows
from pipeline.signal.mel_statistics import speech_threshold

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingData:
    """All that one training run may see.

    features    per recording (n_frames * rows_per_frame, channel), raw units; channel
                counts may differ between subjects only
    mel         per recording (n_frames, band) [nats]
    subject     per recording, index of its subject or, where sessions are told apart, its session (data/groups.py)
    owners      per such index, the number of the subject that it belongs to; empty: each is a subject
    train, val  windows (n, 2): recording index, start frame
    length, context   frames of a window, and of neural context on each side
    rows_per_frame      feature rows per mel frame, m
    names       per recording, its id, for messages
    stops       per recording, the first frame that no loss or score may see; empty: the mel's lengths
    """

    features: Sequence[Array]
    mel: Sequence[Array]
    subject: Sequence[int]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    length: int
    context: int
    rows_per_frame: int = 1
    frame_rate_hz: float = 22050 / 256
    names: Sequence[str] = field(default_factory=list)
    stops: Sequence[int] = ()
    owners: Sequence[int] = ()

    @property
    def ends(self) -> list[int]:
        """Per recording, the first frame that does not count."""
        return list(self.stops) or [len(m) for m in self.mel]

    @property
    def n_channels(self) -> int:
        """The largest channel count; subjects with fewer are padded with zeros."""
        return max(f.shape[1] for f in self.features)

    @property
    def n_subjects(self) -> int:
        return len(self.owners) or max(self.subject) + 1

    @property
    def subject_of(self) -> list[int]:
        """Per index of ``subject``, the number of the subject that it belongs to."""
        return list(self.owners) or list(range(self.n_subjects))

    def training_spans(self, index: int) -> list[tuple[int, int, int]]:
        """The training frames of a subject or session; of a session without any, those of its whole subject."""
        spans, owner = self.spans("train"), self.subject_of
        own = [span for span in spans if self.subject[span[0]] == index]
        return own or [span for span in spans if owner[self.subject[span[0]]] == owner[index]]

    def spans(self, role: str) -> list[tuple[int, int, int]]:
        """The frames under a role's windows as disjoint (recording, start, stop)."""
        windows = self.train if role == "train" else self.val
        return merge_windows(windows, self.length, self.ends)

    def seconds(self, role: str) -> float:
        """Length of a role's frames [s]."""
        return sum(b - a for _, a, b in self.spans(role)) / self.frame_rate_hz

    @property
    def speech_level_nats(self) -> float:
        """Mean log-mel above which a frame is speech."""
        return speech_threshold(np.concatenate([self.mel[r][a:b] for r, a, b in self.spans("train")]))

    @property
    def speech_levels_nats(self) -> list[float]:
        """The same of each subject or session."""
        return [
            speech_threshold(np.concatenate([self.mel[r][a:b] for r, a, b in self.training_spans(index)]))
            for index in range(self.n_subjects)
        ]
