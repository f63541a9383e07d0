"""A build backend that answers one question, the metadata of a source distribution, from its `pyproject.toml` alone.

Why this exists: `pip download` asks the build backend of a source distribution for its metadata before it keeps the
file. protovalidate's backend is maturin, which would fetch a Rust toolchain to answer. `third_party.py` puts this
folder on the path under maturin's name for that one download; nothing is ever built with it.
"""

import tomllib
from pathlib import Path


def prepare_metadata_for_build_wheel(metadata_directory: str, _settings: object = None) -> str:
    """Write name and version, as PEP 517 asks; returns the name of the `.dist-info` folder."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    folder = Path(metadata_directory, f"{project['name']}-{project['version']}.dist-info")
    folder.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(metadata, "utf-8")
    return folder.name
