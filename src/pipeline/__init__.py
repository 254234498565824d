"""Decode speech from intracranial recordings: raw arrays to mel spectrograms to scores."""

import os

# No filter of HDF5 is loaded from HDF5_PLUGIN_PATH, read when h5py is imported: a file could name any code there.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
