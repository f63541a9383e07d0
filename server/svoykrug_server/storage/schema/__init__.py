"""The tables of the system of record, one module per feature, all on `base.metadata`.

`load_all()` imports every module of this package, so that the metadata is whole: migrations and the test that compares
them with the metadata need that, serving does not.
"""

import importlib
import pkgutil

from sqlalchemy import MetaData

from svoykrug_server.storage.schema.base import metadata


def load_all() -> MetaData:
    """Imports every schema module and returns the complete metadata."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return metadata
