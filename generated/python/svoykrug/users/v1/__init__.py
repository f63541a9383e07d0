"""Generated from the protos of `svoykrug.users.v1`."""
