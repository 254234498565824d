"""Every read and write of an HDF5 artifact goes through this package."""
