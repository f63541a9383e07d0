"""All SQL of auth, a module for each kind of row.

Writes take the use case's transaction, reads of committed rows a connection of the hot pool.
"""
