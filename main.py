"""Run the workflow from one config file: ``python main.py --config config.toml``.

Checks the config, writes what it resolves to into ``results/config.json`` and runs
Snakemake with it; what is not known here goes to Snakemake as it is (options, or files
under ``results/`` to make instead of everything).  One run in a folder at a time; what a
killed run left is cleared up first.
Exit codes: 0, 2 for a bad input, else Snakemake's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
sys.path.insert(0, str(HOME / "src"))

from pipeline.artifacts.files import write_text  # noqa: E402
from pipeline.config.loader import load_config, parse_override  # noqa: E402
from pipeline.errors import EXIT_BAD_INPUT, InputError  # noqa: E402
from pipeline.ownership import owned_folder  # noqa: E402
from pipeline.plan import RESOLVED_CONFIG  # noqa: E402
from pipeline.summary import closing_summary  # noqa: E402


def main() -> int:
    """Check, write the resolved config, run, summarise."""
    arguments, for_snakemake = _parser().parse_known_args()
    try:
        config = load_config(arguments.config, map(parse_override, arguments.set))
        with owned_folder(HOME / "workflow" / "scripts") as recovered:
            for action in recovered:
                print(action, file=sys.stderr)
            write_text(RESOLVED_CONFIG, config.model_dump_json(indent=1) + "\n")
            code = _snakemake(arguments.cores, for_snakemake)
    except InputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    if code == 0 and not {"-n", "--dry-run"} & set(for_snakemake):
        print(closing_summary())
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, nargs="+", required=True, help=".toml, .yaml or .json; later ones win")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. train.lr=1e-3")
    parser.add_argument("--cores", default=str(os.cpu_count() or 1), help="cores to use (default: all)")
    return parser


def _snakemake(cores: str, others: list[str]) -> int:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(HOME / "Snakefile")]
    # By its full path, since a folder "default" in the working directory would hide it.
    command += ["--workflow-profile", str(HOME / "profiles" / "default")]
    targets = [] if any(o.startswith("results/") for o in others) else ["all"]
    # --configfile takes many values, so an option has to follow it, never the targets.
    command += ["--configfile", str(RESOLVED_CONFIG), "--cores", cores]
    return subprocess.call([*command, *others, *targets])


if __name__ == "__main__":
    sys.exit(main())
