"""Each client's package has one version, which stands everywhere it is said, and in the changelog on top."""

import json
import re
import tomllib
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[2] / "clients"


def text(path: str) -> str:
    """Returns a file of the clients."""
    return (CLIENTS / path).read_text("utf-8")


def found(pattern: str, path: str) -> str:
    """Returns what a pattern's group matches first in a file."""
    match = re.search(pattern, text(path), re.MULTILINE)
    assert match, f"{path} has no {pattern}"
    return match[1]


VERSIONS = {
    "python": {"pyproject.toml": str(tomllib.loads(text("python/pyproject.toml"))["project"]["version"])},
    "go": {
        "doc.go": found(r'^const Version = "(.*)"$', "go/doc.go"),
        "README.md": found(r"-require=svoykrug@v(\S+)", "go/README.md"),
    },
    "kotlin": {
        "pom.xml": found(r"^  <version>(.*)</version>$", "kotlin/pom.xml"),
        "README.md": found(r"<artifactId>svoykrug-client</artifactId>\s*<version>(.*)</version>", "kotlin/README.md"),
        "VERSION": found(
            r'^public const val VERSION: String = "(.*)"$', "kotlin/src/main/kotlin/svoykrug/client/SvoyKrugClient.kt"
        ),
    },
    "typescript": {
        "package.json": str(json.loads(text("typescript/package.json"))["version"]),
        "package-lock.json": str(json.loads(text("typescript/package-lock.json"))["version"]),
        "README.md": found(r"svoykrug-client-(\d\S*)\.tgz", "typescript/README.md"),
        "version.ts": found(r'VERSION = "(.*)"', "typescript/src/version.ts"),
    },
}


@pytest.mark.parametrize("client", VERSIONS)
def test_the_version_is_the_same_everywhere_and_the_newest_of_the_changelog(client: str) -> None:
    newest = found(r"^## (\d+\.\d+\.\d+)", f"{client}/CHANGELOG.md")
    assert VERSIONS[client] == dict.fromkeys(VERSIONS[client], newest)


def test_the_package_of_the_contract_has_the_version_that_is_the_newest_of_its_changelog() -> None:
    package = "../generated/python"
    version = tomllib.loads(text(f"{package}/pyproject.toml"))["project"]["version"]
    assert version == found(r"^## (\d+\.\d+\.\d+)", f"{package}/CHANGELOG.md")
