"""Running the workflow: plan, Snakemake, Slurm, sweeps."""
