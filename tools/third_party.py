"""Bring the protos that ours import into `.build/third_party`, at the versions that `requirements.lock` pins.

Why this exists: third-party protos are not committed, and nothing comes from a remote schema registry. `google/*`
lies in the installed googleapis-common-protos; `buf/validate/validate.proto` only in the source distribution of
protovalidate, which pip downloads and checks against the lock's hashes.
"""

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
THIRD_PARTY = BUILD / "third_party"
PROTOVALIDATE = BUILD / f"protovalidate-{version('protovalidate')}.tar.gz"
VALIDATE = "buf/validate/validate.proto"
# Not imported by our protos, but carried by every error: a reader of the descriptor set must find them.
ALWAYS = ("google/rpc/status.proto", "google/rpc/error_details.proto", "google/rpc/code.proto", VALIDATE)
IMPORT = re.compile(r'^import (?:public )?"([^"]+)";', re.MULTILINE)


def download_protovalidate() -> None:
    """Download protovalidate's source distribution to `.build`, unless it is there.

    Raises:
        SystemExit: when pip cannot download it, or its hash is not in the lock.
    """
    if PROTOVALIDATE.exists():
        return
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    stanza = re.search(r"^protovalidate==.*\n(?: +--hash=.*\n)+", lock, re.MULTILINE)
    if stanza is None:
        raise SystemExit("requirements.lock does not name protovalidate: run `make lock`.")
    BUILD.mkdir(exist_ok=True)
    wanted = BUILD / "protovalidate.lock.txt"
    wanted.write_text(stanza.group(), "utf-8")
    options = ["--quiet", "--no-deps", "--require-hashes", "--no-build-isolation", "--no-binary", "protovalidate"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(BUILD), "--requirement", str(wanted)]
    backend = {**os.environ, "PYTHONPATH": str(ROOT / "tools" / "sdist_metadata")}
    if subprocess.run(command, env=backend, check=False).returncode != 0:
        raise SystemExit("The source distribution of protovalidate could not be downloaded: see pip's message above.")


def imports(text: str) -> set[str]:
    """Return the paths that a proto file imports and that are neither ours nor built into every compiler."""
    return {path for path in IMPORT.findall(text) if not path.startswith(("svoykrug/", "google/protobuf/"))}


def source(path: str) -> str:
    """Return the text of a third-party proto, such as `google/rpc/code.proto`."""
    if path == VALIDATE:
        with tarfile.open(PROTOVALIDATE) as archive:
            member = archive.extractfile(f"{PROTOVALIDATE.name.removesuffix('.tar.gz')}/proto/{VALIDATE}")
            if member is None:
                raise SystemExit(f"{PROTOVALIDATE.name} holds no {VALIDATE}.")
            return member.read().decode("utf-8")
    package = find_spec("google.rpc")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("googleapis-common-protos is not installed: run `make` again.")
    return Path(package.submodule_search_locations[0]).parent.parent.joinpath(path).read_text("utf-8")


def closure() -> dict[str, str]:
    """Return path -> text of every third-party proto that ours need, directly or through another."""
    wanted = set(ALWAYS).union(*(imports(file.read_text("utf-8")) for file in ROOT.glob("protos/**/*.proto")))
    found: dict[str, str] = {}
    while missing := wanted - found.keys():
        for path in missing:
            found[path] = source(path)
            wanted |= imports(found[path])
    return found


def main() -> None:
    """Make `.build/third_party` hold exactly what is needed; a file that is right already is left alone."""
    download_protovalidate()
    files = closure()
    for path in THIRD_PARTY.glob("**/*.proto"):
        if path.relative_to(THIRD_PARTY).as_posix() not in files:
            path.unlink()
    for name, text in files.items():
        target = THIRD_PARTY / name
        if not target.exists() or target.read_text("utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
