"""Decode speech from intracranial recordings: raw arrays to mel spectrograms to scores.

The public functions are those of :mod:`pipeline.api`, loaded when one of them is first used.
"""

import os

# No filter of HDF5 is loaded from HDF5_PLUGIN_PATH, read when h5py is imported: a file could name any code there.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
# Nor any plug-in of pydantic, for which it would read the metadata of everything that is installed.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

__all__ = ["Model", "Prediction", "load_model", "load_predictions", "load_scores", "to_mne", "to_xarray"]


def __getattr__(name: str) -> object:
    """A public name (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By a name that no reader of imports sees: what a stage runs is not all that the public functions reach.
    from importlib import import_module

    return getattr(import_module(f"{__name__}.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
