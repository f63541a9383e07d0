"""Generated from the protos of `svoykrug.analytics`."""
