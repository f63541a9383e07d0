"""The one metadata every table of the system of record belongs to, and the column shapes they share."""

from sqlalchemy import DateTime, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)
"""Constraints and indexes are named as PostgreSQL would name them; a check is named by hand, `<table>_<what>_check`."""

INSTANT = DateTime(timezone=True)
"""The type of every column that ends in `_time`: a UTC instant with microseconds."""
