"""Run the tests of the Python client, with the real server, by every Python that the client is for.

Why this exists: the client works on Python 3.11 to 3.14, and the environment of `make` has one of them. Each gets an
environment of its own under .build/, made from the lock. A Python that is not here is named, and is a failure when it
was asked for.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from environment import LOCK, PACKAGES, ROOT, pip, uv_settings

UV = str(ROOT / ".venv" / "bin" / "uv")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
TESTS = ("tests/client", "tests/clients")


def find(version: str) -> str:
    """Returns the path of a Python of this machine, empty when there is none of the version."""
    command = [UV, "python", "find", "--no-python-downloads", "--no-project", "--system", version]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def prepare(version: str, python: str, settings: Mapping[str, str]) -> Path:
    """Makes the environment of a version from the lock, or brings it up to it; returns its Python.

    Raises:
        CalledProcessError: when the lock cannot be installed.
    """
    folder = ROOT / ".build" / f"python-{version}"
    own = folder / "bin" / "python"
    install = [UV, "pip", "install", "--quiet", "--no-deps", "--python", str(own)]
    editable = [part for package in PACKAGES for part in ("--editable", str(ROOT / package))]
    for command in (
        [UV, "venv", "--quiet", "--allow-existing", "--python", python, str(folder)],
        [*install, "--require-hashes", "--requirement", str(LOCK)],
        [*install, "--offline", "--no-build-isolation", *editable],
    ):
        subprocess.run(command, cwd=ROOT, env=settings, check=True)
    return own


def passes(version: str, python: str, settings: Mapping[str, str]) -> bool:
    """Runs the tests with a Python; returns whether all passed."""
    begin = time.monotonic()
    print(f"--- Python {version}: {python}", flush=True)
    own = prepare(version, python, settings)
    command = [str(own), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    passed = subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    print(f"{'ok    ' if passed else 'FAILED'} {time.monotonic() - begin:5.1f} s  Python {version}", flush=True)
    return passed


def main(asked: Sequence[str]) -> int:
    """Runs the Pythons that were asked for, or all that are here; returns 0 when the tests passed with each."""
    here = {version: python for version in asked or VERSIONS if (python := find(version))}
    absent = [version for version in asked or VERSIONS if version not in here]
    settings = uv_settings(pip())
    failed = [version for version, python in here.items() if not passes(version, python, settings)]
    if absent:
        print(f"NOT run, for they are not on this machine: Python {', '.join(absent)}")
    passed = [version for version in here if version not in failed]
    print(f"The tests of the client pass with Python {', '.join(passed) or 'none'}.")
    return 1 if failed or not passed or (asked and absent) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
