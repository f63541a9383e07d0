"""Generated from the protos of `svoykrug.auth.v1`."""
