"""Where the time of GetMe goes, before and after: `python benchmarks/getme_profile.py [CHECKOUT]`, from the root.

CHECKOUT is a clone of this repository at an older commit; without one only this tree is looked at. py-spy looks 500
times a second at what holds the interpreter's lock of a server with every step of the edge on and 100 calls in flight;
its shares are multiplied by the processor time that the server's main thread takes for a call, which is measured
without py-spy. perf then looks whose machine code that thread runs, the kernel's among it. Prints two tables for
docs/performance.md. Needs h2load, and as root py-spy (`pip install py-spy`) and perf (`apt-get install linux-perf`).
"""

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

ROUNDS, IN_FLIGHT = 2, 100
WARM_SECONDS, COUNTED_SECONDS, PROFILED_SECONDS = 1.0, 3.0, 8.0
RUNS_A_ROUND = 2
STEPS = (
    ("line in the log", r"CallLog\.|_write_line"),
    ("token, its life, its session's standing, the caller's rate", r"Call\.authenticate"),
    ("access rule", r"Call\.authorize"),
    ("decoding", r"decoded \("),
    ("validation", r"validate \("),
    ("opening: id, language, context, deadline, admission", r"Call\.__init__|Call\.open"),
    ("metrics, leaving", r"Call\.close"),
    ("row to model", r"user_from_row"),
    ("model to message", r"user_to_proto"),
    ("statement: asyncpg, write to the socket", r"Connection\.fetch"),
    ("pool: borrow and give back", r"Reading\.__a|HotPool|PoolConnectionHolder|asyncpg/pool\.py|asyncio/queues"),
    ("between the layers", r"_Wrapped\.|GetMe|UsersService|repository\.py"),
    ("background jobs", r"Supervisor|sqlalchemy|Relay|Upkeep|Revocations|operations|schedule"),
    ("grpc.aio looks whether a handler is a coroutine; its tasks", r"inspect\.py|frozen abc|_weakrefset"),
)
"""What a sample is counted as: the first whose pattern its stack holds."""
REST = "grpc.aio, uvloop, asyncpg's decoding; taking the core back"
LIBRARIES = (
    ("the kernel: sockets, waking and waiting", r"\[kernel"),
    ("grpcio: gRPC's core and its Cython", r"cygrpc"),
    ("Python's interpreter", r"libpython|python3"),
    ("asyncpg", r"^protocol\.|^record\."),
    ("uvloop", r"^loop\."),
    ("protobuf", r"^_message\."),
    ("the C library", r"^libc\.|^libm\.|^libpthread|vdso"),
)
"""Whose machine code a library is: the first whose pattern its name holds."""
OTHERS = "other libraries"
_SHARE = re.compile(r"^\s*([0-9.]+)%\s+(\S.*?)\s*$", re.MULTILINE)


def step_of(stack: str) -> str:
    """Returns the step that a stack belongs to."""
    return next((name for name, pattern in STEPS if re.search(pattern, stack)), REST)


async def look(spy: str) -> dict[str, Any]:
    """Profiles the server of the tree that is on `sys.path`.

    Returns:
        `us`: microseconds of the main thread for a call, of each run; `samples`: how many fell to which step;
        `libraries`: what share of its processor time each library took.
    """
    stages, load = import_module("benchmarks.bench.stage"), import_module("benchmarks.bench.h2load")
    async with stages.stage() as product:
        person = (await product.people(1))[0]
        # One answer by a real client: h2load sees no gRPC status, and takes answers of another length for failures.
        users = import_module("svoykrug.users.v1.users_service_pb2")
        stub = import_module("svoykrug.users.v1.users_service_pb2_grpc").UsersServiceStub(product.circle.channel)
        answer = await stub.GetMe(users.GetMeRequest(), metadata=person.metadata)
        url = f"http://{product.server.target}/svoykrug.users.v1.UsersService/GetMe"
        headers = {"content-type": "application/grpc", "te": "trailers", **dict(person.metadata)}
        target = load.Target(url, 5 + answer.ByteSize(), grpc=True, headers=headers)
        process = product.server.process

        def main_seconds() -> float:
            return float(next(sum(thread[1:]) for thread in process.threads() if thread.id == process.pid))

        await asyncio.to_thread(load.run, target, IN_FLIGHT, WARM_SECONDS)
        us = []
        for _ in range(RUNS_A_ROUND):
            before = main_seconds()
            sample = await asyncio.to_thread(load.run, target, IN_FLIGHT, COUNTED_SECONDS)
            us.append(1e6 * (main_seconds() - before) / sample.calls)
        samples = await _samples(spy, process.pid, product.folder / "stacks", load.run, target)
        libraries = await _libraries(process.pid, product.folder / "perf", load.run, target)
    return {"us": us, "samples": samples, "libraries": libraries}


async def _samples(spy: str, pid: int, stacks: Path, run: Callable[..., object], target: object) -> Counter[str]:
    """Returns how many samples of a server under load fell to which step."""
    options = ["-r", "500", "-d", f"{PROFILED_SECONDS:.0f}", "-f", "raw", "--nonblocking", "--gil"]
    spying = await asyncio.create_subprocess_exec(
        spy, "record", *options, "-o", stacks, "-p", str(pid), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    await asyncio.to_thread(run, target, IN_FLIGHT, PROFILED_SECONDS + 1)
    await spying.wait()
    return _counted(stacks)


async def _libraries(pid: int, kept: Path, run: Callable[..., object], target: object) -> dict[str, float]:
    """Returns what share of the processor time of a server's main thread each library took under load."""
    looking = [
        "-e",
        "cpu-clock",
        "-F",
        "999",
        "-t",
        str(pid),
        "-o",
        str(kept),
        "--",
        "sleep",
        f"{PROFILED_SECONDS:.0f}",
    ]
    watching = await asyncio.create_subprocess_exec(
        "perf", "record", *looking, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    await asyncio.to_thread(run, target, IN_FLIGHT, PROFILED_SECONDS + 1)
    if await watching.wait():
        raise RuntimeError("perf ended with an error")
    return _shares(kept)


def _shares(kept: Path) -> dict[str, float]:
    report = ["perf", "report", "-i", str(kept), "--stdio", "--sort", "dso"]
    printed = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    return {name: float(share) / 100 for share, name in _SHARE.findall(printed)}


def library_of(name: str) -> str:
    """Returns whose machine code a library is."""
    return next((whose for whose, pattern in LIBRARIES if re.search(pattern, name)), OTHERS)


def _counted(stacks: Path) -> Counter[str]:
    samples: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        if "threading.py" not in stack:  # another thread, such as the one that serves metrics
            samples[step_of(stack)] += int(count)
    return samples


def looked_at(tree: Path, spy: str) -> dict[str, Any]:
    """Profiles the server of a tree, by the bench of that tree, in a process of its own."""
    path = ":".join(str(tree / part) for part in ("server", "generated/python", "clients/python", "."))
    with tempfile.NamedTemporaryFile() as told:
        subprocess.run(
            ["env", f"PYTHONPATH={path}", sys.executable, __file__, "--look", told.name, "--spy", spy],
            cwd=tree, check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(Path(told.name).read_text())
    return found


def tables(columns: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Returns the lines of two Markdown tables of microseconds: by step, and by whose machine code it is."""
    took = {tree: median(us for each in found for us in each["us"]) for tree, found in columns.items()}
    steps: dict[str, Counter[str]] = {tree: Counter() for tree in columns}
    shares: dict[str, Counter[str]] = {tree: Counter() for tree in columns}
    for tree, found in columns.items():
        for each in found:
            steps[tree].update(each["samples"])
            for name, share in each["libraries"].items():
                shares[tree][library_of(name)] += share
    return [
        *_table("step", (REST, *(name for name, _ in STEPS)), took, steps),
        "",
        *_table("whose machine code", (*(name for name, _ in LIBRARIES), OTHERS), took, shares),
    ]


def _table(title: str, rows: Sequence[str], took: dict[str, float], parts: dict[str, Counter[str]]) -> list[str]:
    lines = [f"| {title} | {' | '.join(f'{tree}, us' for tree in took)} |", f"| --- |{' ---: |' * len(took)}"]
    for name in rows:
        cells = (f"{us * parts[tree][name] / parts[tree].total():.1f}" for tree, us in took.items())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, f"| **together** | {' | '.join(f'**{us:.0f}**' for us in took.values())} |"]


def main() -> None:
    """Reads the arguments, looks at each tree in turn, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", nargs="?", type=Path, help="a clone at an older commit")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--spy", default=shutil.which("py-spy"), help="where py-spy is")
    asked = parser.parse_args()
    if asked.spy is None:
        raise SystemExit("There is no py-spy: `pip install py-spy`, or name it by --spy.")
    if asked.look is not None:
        import_module("svoykrug_server.rpc.logs").configure_logging(human=False, level="ERROR")
        asked.look.write_text(json.dumps(asyncio.run(look(asked.spy))))
        return
    trees = {"now": Path.cwd()} if asked.before is None else {"before": asked.before.resolve(), "now": Path.cwd()}
    columns: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for _ in range(ROUNDS):
        for name, tree in trees.items():
            columns[name].append(looked_at(tree, asked.spy))
    Console(highlight=False, soft_wrap=True).print("\n".join(tables(columns)), markup=False)


if __name__ == "__main__":
    main()
