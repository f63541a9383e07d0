"""Run the tests of the Python client, with the real server, by every other Python that the client is for.

Why this exists: the client works on Python 3.11 to 3.14, and the environment of `make`, whose Python `make test` runs,
has one of them. Each of the others gets an environment of its own under .build/, made from the lock. A Python that is
not here is named, and is a failure only when it was asked for.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from environment import LOCK, PACKAGES, ROOT, pip, uv_settings

UV = str(ROOT / ".venv" / "bin" / "uv")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
TESTS = ("tests/client", "tests/clients")
# Each has servers of its own; they wait half of their time.
SIDE_BY_SIDE = 2


def find(version: str) -> str:
    """Returns the path of a Python of this machine, empty when there is none of the version."""
    command = [UV, "python", "find", "--no-python-downloads", "--no-project", "--system", version]
    return subprocess.run(command, env=with_pyenv(), capture_output=True, text=True, check=False).stdout.strip()


def with_pyenv() -> dict[str, str]:
    """Returns our environment in which every Python that pyenv installed is on the path, also those not switched on."""
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return dict(os.environ)
    names = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=False).stdout.split()
    return {**os.environ, "PYENV_VERSION": ":".join(names)}


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
    """Runs the tests with a Python, and then shows what they said; returns whether all passed."""
    begin = time.monotonic()
    own = prepare(version, python, settings)
    command = [str(own), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    passed = run.returncode == 0
    took = f"{'ok    ' if passed else 'FAILED'} {time.monotonic() - begin:5.1f} s  Python {version}"
    print(f"--- Python {version}: {python}\n{run.stdout}{took}", flush=True)
    return passed


def main(asked: Sequence[str]) -> int:
    """Runs the Pythons that were asked for, or all others that are here; returns 0 unless one of them fails."""
    wanted = asked or [version for version in VERSIONS if version != OWN]
    here = {version: python for version in wanted if (python := find(version))}
    absent = [version for version in wanted if version not in here]
    if absent:
        print(f"NOT run, for they are not on this machine: Python {', '.join(absent)}")
    settings = uv_settings(pip()) if here else {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = pool.map(lambda version: passes(version, here[version], settings), here)
        failed = [version for version, passed in zip(here, results, strict=True) if not passed]
    passed = [version for version in here if version not in failed]
    if failed:
        print(f"The tests of the client FAIL with Python {', '.join(failed)}.")
    print(
        f"The tests of the client pass with Python {', '.join(passed) or 'none'} beside {OWN}, which `make test` runs."
    )
    return 1 if failed or (asked and absent) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
