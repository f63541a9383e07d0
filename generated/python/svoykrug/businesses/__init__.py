"""Generated from the protos of `svoykrug.businesses`."""
