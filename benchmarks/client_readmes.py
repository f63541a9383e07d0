"""How long it is from a clone to the first signed-in call: `python benchmarks/client_readmes.py [CLIENT ...]`.

Each client's README is followed as a newcomer does, in a new folder beside a new clone: its commands of installing,
then its first program, saved and run as it stands; the code that appears on the console of `make run` is typed into it.
It writes the last section of docs/clients.md. What is committed is cloned; caches of packages are the machine's.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "clients.md"
SECTION = "## From a clone to the first call\n"
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


def main(wanted: list[str]) -> None:
    """Follows the READMEs, and writes how long it took."""
    seconds: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="svoykrug-readmes-") as name:
        folder = Path(name)
        folder.chmod(0o755)
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
    rows = "".join(f"| {what} | {taken:.0f} | {load:.1f} |\n" for what, (taken, load) in seconds.items())
    head, _, _ = DOCUMENT.read_text("utf-8").partition(SECTION)
    DOCUMENT.write_text(f"{head.rstrip()}\n\n{SECTION}" + ABOUT.format(processors=os.cpu_count()) + rows, "utf-8")


ABOUT = """Measured by `python benchmarks/client_readmes.py`, which follows each README in a new folder beside a new
clone: what it says of installing, then its first program as it stands, until it has printed who signed in. The machine
has {processors} processors, and other work to do meanwhile: the load average stands beside. Packages were in its
caches, and what Go had built of them.

| what | seconds | load average |
| --- | --- | --- |
"""

if __name__ == "__main__":
    main(sys.argv[1:])
