"""Generated from the protos of `svoykrug.access`."""
