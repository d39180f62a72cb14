"""Results in HDF5 files, their journals, and files that are only ever replaced whole."""
