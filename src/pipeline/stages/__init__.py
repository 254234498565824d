"""The stages in the order of the flow, each from its artifacts to its artifact: simulate, ingest, align, mel, window,
contamination, ridge, train, ensemble, predict, vocode, evaluate."""
