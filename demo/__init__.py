"""`make demo`: the whole path once, on a year of real purchases, through nothing but the Python client."""
