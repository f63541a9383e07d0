"""How long it is from a clone to the first call: `python benchmarks/client_readmes.py [--empty-caches] [CLIENT ...]`.

Each client's README is followed as a newcomer does, in a new folder beside a new clone: its commands of installing,
then its first program, saved and run as it stands; the code that appears on the console of `make run` is typed into it.
It writes one of the last two sections of docs/clients.md. What is committed is cloned. Caches of packages are the
machine's, or with `--empty-caches` those of a machine on which nobody has installed a package before.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "clients.md"
WARM, COLD = "## From a clone to the first call\n", "## From a clone to the first call, with empty caches\n"
CODE = re.compile(r"@\S+ #(\d{6})")
# The shortest time between two codes to one phone.
RESEND_SECONDS = 61.0
MOST_SECONDS = 1800.0


def blocks(clone: Path, client: str, language: str) -> list[str]:
    """Returns the blocks of a README in a language, in their order."""
    text = (clone / "clients" / client / "README.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shell(folder: Path, commands: str) -> None:
    """Runs commands as they stand in a README."""
    subprocess.run(["bash", "-ec", commands], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def empty_caches(folder: Path) -> Mapping[str, str]:
    """Returns the environment in which pip, uv, buf, npm, Go and Maven find nothing fetched or built before."""
    caches = {
        "XDG_CACHE_HOME": "cache",
        "PIP_CACHE_DIR": "pip",
        "UV_CACHE_DIR": "uv",
        "BUF_CACHE_DIR": "buf",
        "npm_config_cache": "npm",
        "GOMODCACHE": "go-modules",
        "GOCACHE": "go-build",
    }
    # Go writes its modules without the right to write, so that they could not be removed at the end.
    others = {"GOFLAGS": "-buildvcs=false -modcacherw", "MAVEN_OPTS": f"-Dmaven.repo.local={folder / 'maven'}"}
    return {name: str(folder / place) for name, place in caches.items()} | others


class Service:
    """`make run` in a clone.

    Args:
        clone: The clone.
        console: The file that its console goes to.
    """

    def __init__(self, clone: Path, console: Path) -> None:
        self._console = console
        with console.open("wb") as output:
            self._process = subprocess.Popen(
                ["make", "run", f"SVOYKRUG_DATA_DIR={clone.parent / 'data'}"],
                cwd=clone,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._await("is ready")

    def codes(self) -> list[str]:
        """Returns the codes that were shown so far."""
        return CODE.findall(self._console.read_text("utf-8", "replace"))

    def stop(self) -> None:
        """Stops it as Ctrl-C does."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(60)

    def _await(self, words: str) -> None:
        end = time.monotonic() + MOST_SECONDS
        while words not in self._console.read_text("utf-8", "replace"):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(self._console.read_text("utf-8", "replace")[-2000:])
            time.sleep(0.1)


def signed_in(service: Service, folder: Path, command: str) -> None:
    """Runs the first program, and types the code that the service shows."""
    before = len(service.codes())
    program = subprocess.Popen(["bash", "-ec", command], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    end = time.monotonic() + MOST_SECONDS
    while len(service.codes()) == before:
        if program.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{command} sent no code")
        time.sleep(0.05)
    printed, _ = program.communicate(f"{service.codes()[-1]}\n".encode(), 60)
    if program.returncode != 0 or b"+79991234567" not in printed:
        raise RuntimeError(f"{command}: {printed.decode()}")


def python(service: Service, clone: Path, own: Path) -> None:
    """Follows the README of Python; a virtual environment is a newcomer's own."""
    shell(own, f"{sys.executable} -m venv .venv")
    shell(clone, f". {own}/.venv/bin/activate\n{blocks(clone, 'python', 'sh')[0]}")
    (own / "first.py").write_text(blocks(clone, "python", "python")[0], "utf-8")
    signed_in(service, own, ".venv/bin/python first.py")


def go(service: Service, clone: Path, own: Path) -> None:
    """Follows the README of Go."""
    install, run = blocks(clone, "go", "sh")[:2]
    shell(own, install)
    (own / "main.go").write_text(blocks(clone, "go", "go")[0], "utf-8")
    signed_in(service, own, run)


def typescript(service: Service, clone: Path, own: Path) -> None:
    """Follows the README of TypeScript."""
    shell(own, f"npm init -y\n{blocks(clone, 'typescript', 'sh')[0]}")
    (own / "sign-in.mjs").write_text(blocks(clone, "typescript", "ts")[0], "utf-8")
    signed_in(service, own, "node sign-in.mjs")


def kotlin(service: Service, clone: Path, own: Path) -> None:
    """Follows the README of Kotlin."""
    install, run = blocks(clone, "kotlin", "sh")[:2]
    shell(clone / "clients" / "kotlin", install)
    (own / "pom.xml").write_text(blocks(clone, "kotlin", "xml")[0], "utf-8")
    source = own / "src" / "main" / "kotlin" / "Main.kt"
    source.parent.mkdir(parents=True)
    source.write_text(blocks(clone, "kotlin", "kotlin")[0], "utf-8")
    signed_in(service, own, run)


CLIENTS = {"python": python, "go": go, "typescript": typescript, "kotlin": kotlin}


@contextmanager
def timed(seconds: dict[str, tuple[float, float]], what: str) -> Iterator[None]:
    """Notes how long a block took, and the load of the machine after it."""
    begin = time.monotonic()
    yield
    seconds[what] = time.monotonic() - begin, os.getloadavg()[0]
    sys.stdout.write(f"{what}: {seconds[what][0]:.0f} s at a load of {seconds[what][1]:.1f}\n")


def main(words: list[str]) -> None:
    """Follows the READMEs, and writes how long it took."""
    is_cold = "--empty-caches" in words
    wanted = [word for word in words if word != "--empty-caches"]
    seconds: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="svoykrug-readmes-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if is_cold:
            os.environ.update(empty_caches(folder / "caches"))  # noqa: TID251  what is started below inherits it
        clone = folder / "svoykrug"
        with timed(seconds, "`git clone` and `make run`, until it is ready"):
            shell(folder, f"git clone -q {ROOT} svoykrug")
            service = Service(clone, folder / "console.txt")
        try:
            for client in wanted or CLIENTS:
                own = folder / f"first-{client}"
                own.mkdir()
                with timed(seconds, f"[{client}](../clients/{client}/README.md)"):
                    CLIENTS[client](service, clone, own)
                time.sleep(RESEND_SECONDS)
        finally:
            service.stop()
    write(COLD if is_cold else WARM, seconds)


def write(section: str, seconds: dict[str, tuple[float, float]]) -> None:
    """Writes one of the two sections, and leaves the other as it is."""
    head, _, rest = DOCUMENT.read_text("utf-8").partition(WARM)
    warm, _, cold = rest.partition(COLD)
    texts = {WARM: warm, COLD: cold}
    rows = "".join(f"| {what} | {taken:.0f} | {load:.1f} |\n" for what, (taken, load) in seconds.items())
    texts[section] = ABOUT[section].format(processors=os.cpu_count()) + TABLE + rows
    parts = [head, *(f"{title}{text}" for title, text in texts.items() if text)]
    DOCUMENT.write_text("\n\n".join(part.strip() for part in parts) + "\n", "utf-8")


ABOUT = {
    WARM: """Measured by `python benchmarks/client_readmes.py`, which follows each README in a new folder beside a new
clone: what it says of installing, then its first program as it stands, until it has printed who signed in. The machine
has {processors} processors, and other work to do meanwhile: the load average stands beside. Packages were in its
caches, and what Go had built of them.
""",
    COLD: """The same by `python benchmarks/client_readmes.py --empty-caches`: every package comes from its registry and
is built here, as fast as the network of the machine is. The programs themselves (Python, Go, Node, a JDK, Maven) were
installed. The first line holds all packages of the server too.
""",
}
TABLE = """
| what | seconds | load average |
| --- | --- | --- |
"""

if __name__ == "__main__":
    main(sys.argv[1:])
