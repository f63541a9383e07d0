"""Where data lies when no setting says where."""

import os
from pathlib import Path


def default_data_dir() -> Path:
    """Returns the folder used when none is set: the user's data folder; for root, where services keep their state."""
    if os.geteuid() == 0:
        return Path("/var/lib/svoykrug")
    from platformdirs import user_data_path  # noqa: PLC0415  only needed when no folder is set

    return user_data_path("svoykrug", appauthor=False)
