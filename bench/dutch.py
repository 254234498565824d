"""SingleWordProductionDutch (Verwoert et al. 2022, Sci. Data 9:434) as raw arrays and a sample sheet.

In: the data set's folder, ``sub-XX/ieeg/sub-XX_task-wordProduction_ieeg.nwb`` with ``*_channels.tsv`` and
``*_electrodes.tsv`` beside it.  Out: what ``python -m pipeline import`` writes of such a folder.  Where NWB and
``channels.tsv`` disagree about the unit, nothing is written until ``--units`` says which it is.
Events are words as they appeared on the screen, not as they were heard.  The published sound is
pitch-shifted, which the sheet says: contamination cannot be tested on it.

    python bench/dutch.py SingleWordProductionDutch-iBIDS raw
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.errors import EXIT_BAD_INPUT, InputError
from pipeline.importing.command import import_recordings
from pipeline.importing.options import Options
from pipeline.raw.arrays import UNITS_UV


def main() -> int:
    options = _parser().parse_args()
    try:
        print(convert(options.bids, options.out, options.units))
    except InputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def convert(bids: Path, out: Path, units: str | None = None) -> Path | None:
    """Convert every subject; returns the sample sheet.  Raises :class:`InputError`."""
    options = Options(units=units, modified="pitch_shifted")
    return import_recordings(bids, out, options, file_format="nwb", yes=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bids", type=Path, help="folder of the data set")
    parser.add_argument("out", type=Path, help="folder for the arrays and the sheet")
    parser.add_argument("--units", choices=list(UNITS_UV), help="unit of the stored neural values, if undeclared")
    return parser


if __name__ == "__main__":
    sys.exit(main())
