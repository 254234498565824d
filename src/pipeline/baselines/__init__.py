"""The baselines of the network: ridge regression, mean spectrum and template, envelope."""
