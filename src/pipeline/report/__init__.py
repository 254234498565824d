"""The report's page, figures of artifacts and sweeps, and additions to TensorBoard."""
