"""Generated from the protos of `svoykrug.operations.v1`."""
