"""Resolve every dependency of our packages, of development and of the demo, and write `requirements.lock` with hashes.

Why this exists: one lock serves Linux and macOS and every Python from 3.11 on, holds no index and no host, and must not
name our own packages; the options that make it so stand here and nowhere else. A plain `make lock` takes the newest
versions.
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["generated/python/pyproject.toml", "server/pyproject.toml", "clients/python/pyproject.toml"]
GROUPS = ["dev", "demo"]
OPTIONS = [
    "--quiet",
    "--universal",
    "--python-version=3.11",
    "--upgrade",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-package=svoykrug-protos",
    "--output-file=requirements.lock",
]


def main() -> None:
    """Write the lock; ends the program when the dependencies cannot be resolved."""
    groups = [f"--group=pyproject.toml:{group}" for group in GROUPS]
    command = [str(ROOT / ".venv" / "bin" / "uv"), "pip", "compile", *SOURCES, *groups, *OPTIONS]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise SystemExit("The dependencies could not be resolved: see uv's message above.")


if __name__ == "__main__":
    main()
