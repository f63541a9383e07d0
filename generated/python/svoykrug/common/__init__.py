"""Generated from the protos of `svoykrug.common`."""
