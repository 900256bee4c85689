"""Where tables come from: text files, Parquet, HDF5, DataFrames, demos."""
