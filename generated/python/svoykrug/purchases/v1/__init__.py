"""Generated from the protos of `svoykrug.purchases.v1`."""
