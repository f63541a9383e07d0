"""Generated from the protos of `svoykrug.operations`."""
