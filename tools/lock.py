"""Resolve every dependency of our packages, of development and of the demo, and write `requirements.lock` with hashes.

What not every machine can have, Envoy, goes to `requirements-gateway.lock`; what not every machine lacks, Go and Node,
to `requirements-toolchains.lock`; what the product is compared with to `requirements-bench.lock`.

Why this exists: one lock serves Linux and macOS and every Python from 3.11 on, holds no index and no host, and must not
name our own packages; the options that make it so stand here and nowhere else. A plain `make lock` takes the newest
versions.
"""

import subprocess
from collections.abc import Sequence
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
]


def main() -> None:
    """Write the locks; ends the program when the dependencies cannot be resolved."""
    resolve("requirements.lock", SOURCES, GROUPS)
    resolve("requirements-gateway.lock", [], ["gateway"])
    resolve("requirements-bench.lock", [], ["bench"], ["--constraint=requirements.lock"])
    resolve("requirements-toolchains.lock", [], ["toolchains"])


def resolve(lock: str, sources: Sequence[str], groups: Sequence[str], further: Sequence[str] = ()) -> None:
    """Write one lock; ends the program when its dependencies cannot be resolved."""
    named = [f"--group=pyproject.toml:{group}" for group in groups]
    command = [str(ROOT / ".venv" / "bin" / "uv"), "pip", "compile", *sources, *named, *OPTIONS, *further]
    if subprocess.run([*command, f"--output-file={lock}"], cwd=ROOT, check=False).returncode != 0:
        raise SystemExit("The dependencies could not be resolved: see uv's message above.")


if __name__ == "__main__":
    main()
