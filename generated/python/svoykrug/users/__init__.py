"""Generated from the protos of `svoykrug.users`."""
