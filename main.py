"""Run the workflow from one config file: ``python main.py --config config.toml``.

Checks the config, writes what it resolves to into ``results/config.json`` and runs
Snakemake with it; what is not known here goes to Snakemake as it is (options, or files
under ``results/`` to make instead of everything).  A config with a ``sweep`` runs every
combination.  One run in a folder at a time; what a killed run left is cleared up first.
Exit codes: 0, 2 for a bad input, 130 after Ctrl-C, else Snakemake's.
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
from pipeline.config.combinations import combinations  # noqa: E402
from pipeline.config.loader import load_config, parse_override  # noqa: E402
from pipeline.errors import EXIT_BAD_INPUT, InputError  # noqa: E402
from pipeline.ownership import owned_folder  # noqa: E402
from pipeline.plan import RESOLVED_CONFIG  # noqa: E402
from pipeline.summary import closing_summary  # noqa: E402
from pipeline.sweep import run_sweep, sweep_summary  # noqa: E402

INTERRUPTED = 130


def main() -> int:
    """Check, write the resolved config, run, summarise."""
    arguments, for_snakemake = _parser().parse_known_args()
    dry = bool({"-n", "--dry-run"} & set(for_snakemake))
    try:
        config = load_config(arguments.config, map(parse_override, arguments.set))
        sweep = [] if _targets(for_snakemake) else combinations(config)
        with owned_folder(HOME / "workflow" / "scripts") as recovered:
            for action in recovered:
                print(action, file=sys.stderr)
            if sweep:
                code = run_sweep(HOME, sweep, lambda: _snakemake(arguments.cores, for_snakemake), dry=dry)
            else:
                write_text(RESOLVED_CONFIG, config.model_dump_json(indent=1) + "\n")
                code = _snakemake(arguments.cores, for_snakemake)
    except InputError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; start again to go on from here", file=sys.stderr)
        return INTERRUPTED
    if not dry and (sweep or code == 0):
        print(sweep_summary() if sweep else closing_summary())
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
    targets = [] if _targets(others) else ["--", "all"]
    # Some options take many values: nothing but an option may follow them.
    command += ["--configfile", str(RESOLVED_CONFIG), "--cores", cores]
    return subprocess.call([*command, *others, *targets])


def _targets(others: list[str]) -> list[str]:
    """Files to make instead of everything."""
    return [other for other in others if other.startswith("results/")]


if __name__ == "__main__":
    sys.exit(main())
