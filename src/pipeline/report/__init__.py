"""What people look at: the report's page, pictures of artifacts and sweeps, TensorBoard."""
