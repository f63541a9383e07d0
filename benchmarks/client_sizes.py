"""What a client brings along: `python benchmarks/client_sizes.py`, from the root; it writes docs/clients.md.

For TypeScript the bundle of an application, gzipped; for Python what pip installs and how long the import takes; for
Go and Kotlin the dependencies. Needs npm, Go and Maven, and the registries that they ask.
"""

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "clients"
DOCUMENT = ROOT / "docs" / "clients.md"
RUNS = 9
IMPORTS = {"`svoykrug_client`": "svoykrug_client", "`svoykrug_client.sync`": "svoykrug_client.sync"}

PAGE = """# What a client brings along

Measured by `python benchmarks/client_sizes.py`, which writes this page but its last section. The clients themselves,
and the scenario that all of them run: [clients](../clients).

## TypeScript
The bundle of an application for browsers, minified by esbuild, then gzip -9. A service that is not imported is not in
it.

{typescript}

## Python
What `pip install` brings, without bytecode, for Python {version} on Linux x86-64.

{packages}

What a Python that imports it takes from start to end over one that imports nothing: medians of {runs} alternating runs,
from bytecode. The machine has {processors} processors; its load average was {load}.

{imports}

## Go
The modules that the client is built from, besides the standard library.

{go}

## Kotlin
The jars that an application on the JVM gets besides the client's own. For Android R8 leaves of them what is called.

{kotlin}
"""


def printed(folder: Path, *command: str) -> str:
    """Runs a command, and returns what it printed."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def table(*rows: tuple[str, ...]) -> str:
    """Returns a table in Markdown; the first row is its head."""
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def typescript() -> str:
    """Returns the sizes of bundles, as `npm run size` of the package measures them."""
    folder = CLIENTS / "typescript"
    if not (folder / "node_modules").exists():
        printed(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    printed(folder, "npm", "run", "--silent", "build")
    lines = printed(folder, "npm", "run", "--silent", "size").splitlines()
    sizes = [re.fullmatch(r"(.+?) +(\d+) bytes, +(\d+) gzipped", line) for line in lines]
    rows = [(size[1], f"{int(size[2]):,}", f"{int(size[3]):,}") for size in sizes if size]
    return table(("an application that imports", "bytes", "gzipped"), *rows)


def python() -> tuple[str, str]:
    """Returns what pip installs for the client, and how long its import takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = (str(ROOT / "generated" / "python"), str(CLIENTS / "python"))
        printed(ROOT, sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", name, *sources)
        sizes = sorted(((found.name, installed_bytes(found)) for found in distributions(path=[name])), key=by_size)
        return table(("package", "MB"), *in_megabytes(sizes)), import_times(folder)


def by_size(row: tuple[str, int]) -> int:
    """Orders packages, the largest first."""
    return -row[1]


def installed_bytes(found: Distribution) -> int:
    """Returns how much of the disk the files of a package take, without bytecode."""
    paths = [Path(str(file.locate())) for file in found.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def in_megabytes(sizes: list[tuple[str, int]]) -> Iterator[tuple[str, str]]:
    """Yields the rows of packages, and what they are together."""
    for name, size in sizes:
        yield f"`{name}`", f"{size / 1e6:.2f}"
    yield "together", f"{sum(size for _, size in sizes) / 1e6:.2f}"


def import_times(folder: Path) -> str:
    """Returns the medians of what an import takes over what an interpreter takes that imports nothing."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); "
    programs = {"nothing": start} | {name: f"{start}import {module}" for name, module in IMPORTS.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(RUNS + 1):
        for name, program in programs.items():
            taken[name].append(times_of(sys.executable, "-S", "-c", program))
    # The first round compiles to bytecode.
    medians = {
        name: [statistics.median(kind) * 1000 for kind in zip(*rounds[1:], strict=True)]
        for name, rounds in taken.items()
    }
    over = {name: [a - b for a, b in zip(medians[name], medians["nothing"], strict=True)] for name in IMPORTS}
    rows = [(name, f"{processor:.0f}", f"{clock:.0f}") for name, (processor, clock) in over.items()]
    return table(("import", "ms of a processor", "ms by the clock"), *rows)


def times_of(*command: str) -> tuple[float, float]:
    """Runs a command, and returns the seconds of a processor and of the clock that it took."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    printed(ROOT, *command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - begin


def go() -> str:
    """Returns the modules that the packages of the client are built from."""
    listed = printed(CLIENTS / "go", "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}", ".")
    modules = sorted({tuple(line.split()) for line in listed.splitlines() if len(line.split()) == 2})
    return table(("module", "version"), *((f"`{module[0]}`", module[1]) for module in modules))


def kotlin() -> str:
    """Returns the jars that an application gets with the client, and their sizes."""
    with tempfile.TemporaryDirectory() as name:
        listed = Path(name) / "classpath.txt"
        options = ("-DincludeScope=runtime", f"-Dmdep.outputFile={listed}")
        printed(CLIENTS / "kotlin", "mvn", "--batch-mode", "--quiet", "dependency:build-classpath", *options)
        jars = sorted((Path(jar) for jar in listed.read_text().split(os.pathsep)), key=lambda jar: -jar.stat().st_size)
    rows = [(f"`{jar.stem}`", f"{jar.stat().st_size / 1e6:.2f}") for jar in jars]
    together = sum(jar.stat().st_size for jar in jars) / 1e6
    return table(("jar", "MB"), *rows, ("together", f"{together:.2f}"))


def main() -> None:
    """Measures, and writes the page."""
    packages, imports = python()
    # What follows is another program's: `client_readmes.py`.
    _, section, rest = DOCUMENT.read_text("utf-8").partition("\n## From a clone to the first call\n")
    load, version = os.getloadavg()[0], ".".join(map(str, sys.version_info[:3]))
    DOCUMENT.write_text(
        PAGE.format(
            runs=RUNS,
            version=version,
            processors=os.cpu_count(),
            load=f"{load:.1f}",
            packages=packages,
            imports=imports,
            typescript=typescript(),
            go=go(),
            kotlin=kotlin(),
        )
        + section
        + rest,
        "utf-8",
    )


if __name__ == "__main__":
    main()
