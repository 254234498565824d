"""Live use: samples in, mel and sound out, as they come."""
