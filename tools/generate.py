"""Make `generated/` and the documents that follow from the code, or with `--check` fail when something is stale.

Why this exists: `buf generate` makes the code, but a Python package also needs its `__init__.py` and `py.typed`,
callers with grpcurl need the descriptor set, and the drift check must compare all of it. Everything is made in a
temporary folder first and only changed files are copied, so that a program which runs meanwhile never sees an empty
folder.
"""

import filecmp
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import api_openapi
import errors_python
import reference_docs
import services_kotlin
import settings_docs
import sync_stubs_python
import third_party
from api_pages import Pages
from contract import Contract

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / ".venv" / "bin" / "buf"
# What `make generate` owns; the rest of generated/ (pyproject.toml, README.md) and of docs/ is written by hand.
OWNED = (
    "generated/python/svoykrug",
    "generated/python/buf",
    "generated/svoykrug.binpb",
    "generated/gateway",
    "generated/kotlin",
    "docs/access.md",
    "docs/errors.md",
    "docs/settings.md",
)


def buf(*arguments: str) -> None:
    """Run buf in the root folder; ends the program when it fails."""
    if subprocess.run([str(BUF), *arguments], cwd=ROOT, check=False).returncode != 0:
        raise SystemExit(f"buf {arguments[0]} failed: see its message above.")


def generate(fresh: Path) -> None:
    """Generate everything into the folder `fresh`, which mirrors the root folder."""
    descriptor_set = fresh / "generated" / "svoykrug.binpb"
    python = fresh / "generated" / "python"
    buf("generate", "--output", str(fresh / "generated"))
    buf("build", "--as-file-descriptor-set", "--output", str(descriptor_set))
    contract = Contract(descriptor_set)
    (python / "svoykrug" / "errors.py").write_text(errors_python.render(contract), "utf-8")
    (python / "svoykrug" / "sync_stubs.py").write_text(sync_stubs_python.render(contract), "utf-8")
    finish_packages(python)
    write_pages(fresh / "generated" / "gateway", contract)
    write_kotlin(fresh / "generated" / "kotlin", contract)
    (fresh / "docs").mkdir()
    for path, text in reference_docs.render(contract).items():
        (fresh / path).write_text(text, "utf-8")
    (fresh / "docs" / "settings.md").write_text(settings_docs.render(), "utf-8")


def write_pages(folder: Path, contract: Contract) -> None:
    """Write what the gateway shows into `folder`."""
    (folder / "docs").mkdir(parents=True)
    (folder / "openapi.json").write_text(api_openapi.render(contract), "utf-8")
    for name, text in Pages(contract).render().items():
        (folder / "docs" / name).write_text(text, "utf-8")


def write_kotlin(folder: Path, contract: Contract) -> None:
    """Write the services as the Kotlin client calls them into `folder`."""
    for path, text in services_kotlin.render(contract).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")


def finish_packages(python: Path) -> None:
    """Add what makes the generated modules typed packages, and drop stubs of files that have no service."""
    for stub in python.rglob("*_pb2_grpc.pyi"):
        if not stub.with_suffix(".py").exists():
            stub.unlink()
    for folder in {file.parent for file in python.glob("svoykrug/**/*.py")}:
        for package in (folder, *folder.parents):
            if package.is_relative_to(python / "svoykrug"):
                name = package.relative_to(python).as_posix().replace("/", ".")
                (package / "__init__.py").write_text(f'"""Generated from the protos of `{name}`."""\n', "utf-8")
    for typed in ("svoykrug", "buf/validate"):
        (python / typed / "py.typed").touch()


def files(folder: Path) -> Iterator[str]:
    """Yield the path, relative to `folder`, of each file there that `make generate` owns."""
    for owned in OWNED:
        top = folder / owned
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(folder).as_posix()


def differences(fresh: Path) -> list[str]:
    """Return the paths that are missing, stale or left over, compared with the folder `fresh`."""
    made, committed = set(files(fresh)), set(files(ROOT))
    both = made & committed
    stale = {path for path in both if not filecmp.cmp(fresh / path, ROOT / path, shallow=False)}
    return sorted((made ^ committed) | stale)


def copy(fresh: Path, changed: list[str]) -> None:
    """Bring the changed files from the folder `fresh` to where they belong."""
    for path in changed:
        target = ROOT / path
        if (fresh / path).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            arriving = target.with_name(f"{target.name}.arriving")
            shutil.copyfile(fresh / path, arriving)
            arriving.replace(target)
        else:
            target.unlink()


def main() -> None:
    """Generate, then copy what changed, or with `--check` name it and fail."""
    third_party.main()
    with tempfile.TemporaryDirectory(prefix="generated-", dir=third_party.BUILD) as folder:
        fresh = Path(folder)
        generate(fresh)
        changed = differences(fresh)
        if "--check" not in sys.argv[1:]:
            copy(fresh, changed)
            print(f"What is generated is current; {len(changed)} files changed.")
        elif changed:
            names = "\n  ".join(changed)
            raise SystemExit(
                f"What is generated is stale: run `make generate` and commit it with the protos.\n  {names}"
            )


if __name__ == "__main__":
    main()
