"""The jobs that a config asks for: recordings, subjects, folds, and what each job depends on.

Read by the Snakefile at every start, so it imports nothing that is slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.config.loader import load_config
from pipeline.config.root import Config
from pipeline.config.simulate import simulated_sheet
from pipeline.config.stages import stage_json
from pipeline.data.manifest import content_manifest
from pipeline.data.sheet import RecordingRow, read_sheet, rows_of
from pipeline.errors import InputError, Problem
from pipeline.provenance import code_fingerprint

SIMULATED_SHEET = paths.RESULTS / "simulated" / "recordings.tsv"
RAW_MANIFEST = paths.RESULTS / ".raw_manifest.json"
DEFAULT_CONFIG = Path("config/config.yaml")


def load_plan(home: Path, config_files: Sequence[Path], overrides: Mapping[str, Any], is_job: bool) -> Plan:
    """The plan for the given config files, else for ``config/config.yaml`` here or in ``home``.

    ``is_job`` says that the main process has already hashed the raw files.  Raises
    :class:`InputError` with everything wrong with the config and the sheet.
    """
    files = [Path(f) for f in config_files]
    if not files:
        files = [DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else home / DEFAULT_CONFIG]
    config = load_config(files, [overrides])
    return Plan(home, config, _rows(config), is_job)


@dataclass(frozen=True)
class Plan:
    """What is to be made."""

    home: Path
    config: Config
    rows: list[RecordingRow]
    is_job: bool

    @property
    def is_simulated(self) -> bool:
        """Whether the workflow makes its own raw data."""
        return self.config.data.sheet is None

    @property
    def recordings(self) -> list[str]:
        return [row.recording for row in self.rows]

    @property
    def subjects(self) -> list[str]:
        """Subjects that can be trained on: those with sound."""
        return list(dict.fromkeys(row.subject for row in self.rows if row.audio))

    def recordings_of(self, subject: str) -> list[str]:
        """A subject's recordings that have sound, in the order of the sheet."""
        return [row.recording for row in self.rows if row.subject == subject and row.audio]

    @property
    def silent(self) -> list[str]:
        """Recordings without sound, which can only be predicted."""
        return [row.recording for row in self.rows if not row.audio]

    @property
    def raw_files(self) -> list[str]:
        """Every raw file, and the sheet itself where it is made here."""
        files = [str(f) for row in self.rows for f in row.files().values()]
        return ([str(SIMULATED_SHEET)] if self.is_simulated else []) + list(dict.fromkeys(files))

    def raw_of(self, recording: str) -> list[str]:
        """The raw files of one recording."""
        return [str(f) for f in self._row(recording).files().values()]

    def row_json(self, recording: str) -> str:
        """What the sheet says of a recording, as canonical JSON."""
        return self._row(recording).canonical_json()

    def raw_content(self, recording: str) -> list[str]:
        """sha256 of each raw file of a recording; nothing where the workflow makes them."""
        return [] if self.is_simulated else [self._content[f] for f in self.raw_of(recording)]

    def config_json(self, stage: str) -> str:
        """The keys that a stage reads, as canonical JSON."""
        return stage_json(stage, self.config)

    def code(self, stage: str) -> list[str]:
        """The code fingerprint of a stage as ``module:hash``."""
        return [f"{module}:{code}" for module, code in _code(self.home, stage).items()]

    @property
    def fold_names(self) -> list[str]:
        """``subject/foldK`` of every fold to run."""
        return [f"{subject}/fold{fold}" for subject in self.subjects for fold in self.config.folds]

    def evaluated(self, _: object = None) -> list[str]:
        """All files that the stage evaluate reads."""
        heard = [recording for subject in self.subjects for recording in self.recordings_of(subject)]
        folds = [(subject, fold) for subject in self.subjects for fold in self.config.folds]
        files = [paths.windows(subject) for subject in self.subjects]
        files += [paths.contamination(recording) for recording in heard]
        for kind in (paths.metrics, paths.predictions, paths.baselines):
            files += [kind(*fold) for fold in folds]
        if self.config.writes_sound:
            files += [paths.sound(*fold) for fold in folds]
        return [str(file) for file in files]

    @staticmethod
    def one_of(names: Iterable[str]) -> str:
        """A pattern that matches just these names."""
        return "|".join(map(re.escape, names))

    def _row(self, recording: str) -> RecordingRow:
        return next(row for row in self.rows if row.recording == recording)

    @cached_property
    def _content(self) -> dict[str, str]:
        return content_manifest(map(Path, self.raw_files), RAW_MANIFEST, trust=self.is_job)


@cache
def _code(home: Path, stage: str) -> dict[str, str]:
    return code_fingerprint(home / "workflow" / "scripts" / f"{stage}.py")


def _rows(config: Config) -> list[RecordingRow]:
    if config.data.sheet is None:
        return rows_of(simulated_sheet(config.simulate), SIMULATED_SHEET)
    rows = read_sheet(Path(config.data.sheet))
    if not any(row.audio for row in rows):
        fix = "Name the sound in the column audio; predict alone needs python -m pipeline predict"
        raise InputError(Problem(config.data.sheet, "audio", "no recording with sound", "at least one", fix))
    return rows
