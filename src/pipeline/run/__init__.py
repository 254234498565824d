"""All that knows of a workflow: plan, Snakemake, Slurm, sweeps."""
