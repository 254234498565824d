"""Neural features: one module per kind.  A kind is known by its module being imported here."""

from pipeline.signal.features import band_envelope, given, low_pass, signal

__all__ = ["band_envelope", "given", "low_pass", "signal"]
