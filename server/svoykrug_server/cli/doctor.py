"""`svoykrug doctor`: what the service runs on and what is wrong, in plain words.

It asks the server that runs, over its HTTP port on loopback, because only one process can open the embedded ClickHouse.
When no server runs, it opens the stores itself, changes nothing in them, and closes them again.
"""

import asyncio
import json
import platform
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from svoykrug_server import __version__
from svoykrug_server.config import Settings
from svoykrug_server.gateway.examination import examine_gateway
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.kit.startup import CannotStart
from svoykrug_server.storage.examination import Facts, examine_postgres, examine_warehouse
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.stores import Stores, open_folder, open_stores, open_warehouse

HTTP_SECONDS = 15.0
LONGEST_HEALTHY_LAG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at.

    Attributes:
        what: What it is.
        text: How it is, in plain words.
        is_well: Whether nothing about it needs a person.
    """

    what: str
    text: str
    is_well: bool = True


async def diagnose(settings: Settings, console: Console) -> bool:
    """Looks at everything, shows it to a person, and returns whether all is well."""
    return show(await examine(settings), console)


async def examine(settings: Settings) -> list[Finding]:
    """Looks at everything and returns what it found."""
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    gateway = await asyncio.to_thread(examine_gateway, settings)
    findings = [
        Finding("program", f"Svoy Krug {__version__}, {python}"),
        Finding("gateway", gateway.text, is_well=gateway.is_well),
    ]
    if not settings.data_dir.exists() and settings.database_url is None:
        text = f"{settings.data_dir} does not exist yet; the first `svoykrug serve` makes everything in it"
        return [*findings, Finding("data folder", text)]
    try:
        folder = open_folder(settings)
    except CannotStart as problem:
        return [*findings, Finding("data folder", str(problem), is_well=False)]
    findings.append(_folder_finding(folder))
    owner = folder.owner()
    facts = await _open(settings, folder) if owner is None else await _ask(settings, owner)
    findings.extend(_server_findings(facts.get("server", {})))
    findings.extend(_postgres_findings(facts.get("postgres", {}), is_serving=owner is not None))
    findings.extend(_warehouse_findings(facts.get("warehouse", {}), is_serving=owner is not None))
    findings.extend(schedule_findings(facts.get("schedule", {}), is_serving=owner is not None))
    return findings


def show(findings: list[Finding], console: Console) -> bool:
    """Shows the findings to a person, and returns whether all is well."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    for finding in findings:
        mark = "[green]✔[/]" if finding.is_well else "[bold red]✘[/]"
        table.add_row(mark, f"[bold]{finding.what}[/]", finding.text)
    console.print(table)
    wrong = [finding for finding in findings if not finding.is_well]
    verdict = "[bold red]Something is wrong: see ✘ above.[/]" if wrong else "[bold green]All is well.[/]"
    console.print(verdict)
    return not wrong


async def _ask(settings: Settings, owner: dict[str, Any]) -> dict[str, Facts]:
    """Asks the running server."""
    url = f"http://{settings.http_host}:{owner.get('http_port')}/doctor"

    def fetch() -> dict[str, Any]:
        with urllib.request.urlopen(url, timeout=HTTP_SECONDS) as answer:
            body: dict[str, Any] = json.load(answer)
            return body

    try:
        body = await asyncio.to_thread(fetch)
    except (OSError, ValueError) as error:
        problem = f"process {owner.get('pid')} owns the data folder but does not answer on {url}: {error}"
        return {"server": {"problem": problem}}
    parts = {name: body.get(name, {}) for name in ("postgres", "warehouse")}
    return {"server": body, **parts, "schedule": {"jobs": body.get("schedule", [])}}


async def _open(settings: Settings, folder: DataFolder) -> dict[str, Facts]:
    """Opens the stores, without migrating them, and looks at them."""
    facts: dict[str, Facts] = {"server": {}}
    async with AsyncExitStack() as closing:
        try:
            closing.enter_context(folder.owned({}))
            stores = await closing.enter_async_context(open_stores(settings, migrate=False))
            facts["postgres"] = await examine_postgres(stores.postgres, SystemClock())
            if facts["postgres"].get("applied") == facts["postgres"].get("newest"):
                facts["schedule"] = {"jobs": await _schedule_facts(settings, stores)}
            if stores.embedded is not None:
                facts["postgres"]["process_id"] = stores.embedded.process_id
        except CannotStart as problem:
            facts["postgres"] = {"problem": str(problem)}
        try:
            warehouse = await closing.enter_async_context(open_warehouse(settings, folder, migrate=False))
            facts["warehouse"] = await examine_warehouse(warehouse)
        except CannotStart as problem:
            facts["warehouse"] = {"problem": str(problem)}
    return facts


async def _schedule_facts(settings: Settings, stores: Stores) -> Sequence[Facts]:
    from svoykrug_server.operations.schedule.examination import examine_schedule  # noqa: PLC0415  only without a server
    from svoykrug_server.parts import jobs_service  # noqa: PLC0415  as above

    return await examine_schedule(jobs_service(settings, stores.postgres, SystemClock()), SystemClock())


def _folder_finding(folder: DataFolder) -> Finding:
    free_bytes = shutil.disk_usage(folder.path).free
    return Finding("data folder", f"{folder.path}, {_size(free_bytes)} free on its disk")


def _server_findings(facts: Facts) -> Iterator[Finding]:
    if not facts:
        yield Finding("server", "none runs; the doctor opened the stores itself")
        return
    if "problem" in facts:
        yield Finding("server", facts["problem"], is_well=False)
        return
    addresses = ", ".join(facts.get("addresses", []))
    doing = f"takes calls on {addresses}" if addresses else "takes no calls: a worker, or a server that is starting"
    yield Finding("server", f"process {facts.get('pid')} {doing}")
    for name, job in facts.get("jobs", {}).items():
        if not job["running"]:
            yield Finding(f"job {name}", f"does not run now; it failed {job['failures']} times", is_well=False)


def _postgres_findings(facts: Facts, *, is_serving: bool) -> Iterator[Finding]:
    yield from _store_findings("PostgreSQL", facts, is_serving=is_serving)
    if "lag_seconds" not in facts:
        return
    waiting, lag_seconds = facts["waiting_entries"], facts["lag_seconds"]
    watermark = "there is no watermark yet" if facts["watermark"] is None else f"the watermark is {facts['watermark']}"
    text = f"{waiting} entries wait for ClickHouse, the oldest for {lag_seconds:.1f} s; {watermark}"
    is_late = is_serving and lag_seconds > LONGEST_HEALTHY_LAG_SECONDS
    yield Finding("pipeline", text if waiting else f"nothing waits; {watermark}", is_well=not is_late)
    if facts["disputed_days"]:
        text = f"the stores disagree on {facts['disputed_days']} days of businesses; they are being repaired"
        yield Finding("equality", text, is_well=False)
    if facts["missing_results"]:
        text = f"the rows of {facts['missing_results']} snapshots and scorings are gone and are being made again"
        yield Finding("results", text, is_well=False)
    if facts["lost_results"]:
        # Nobody can do anything about it: the rows stay lost, and callers are told so.
        yield Finding("lost results", f"{facts['lost_results']} snapshots and scorings cannot be made again")


def _warehouse_findings(facts: Facts, *, is_serving: bool) -> Iterator[Finding]:
    yield from _store_findings("ClickHouse", facts, is_serving=is_serving)


def schedule_findings(facts: Facts, *, is_serving: bool) -> Iterator[Finding]:
    """Returns what the doctor makes of each job of the schedule."""
    for job in facts.get("jobs", []):
        last = f"last done for {job['last_period']}" if job["last_period"] else "never done yet"
        due = f"due {job['next_due_time']}" if job["next_due_time"] else "the schedule is switched off"
        now = ", being done now" if job["running"] else ""
        failed = f"; it failed with {job['last_error_reason']} and is tried again" if job["last_error_reason"] else ""
        is_well = not job["last_error_reason"] and not (is_serving and job["late"])
        yield Finding(f"schedule {job['job']}", f"{last}, {due}{now}{failed}", is_well=is_well)


def _store_findings(store: str, facts: Facts, *, is_serving: bool) -> Iterator[Finding]:
    if "problem" in facts:
        yield Finding(store, facts["problem"], is_well=False)
    if "version" not in facts:
        return
    where = f", process {facts['process_id']}" if "process_id" in facts else ""
    yield Finding(store, f"version {facts['version']}{where}, {_size(facts['size_bytes'])}")
    applied, newest = facts["applied"] or "0000", facts["newest"]
    if applied == newest:
        yield Finding(f"{store} schema", f"{applied}, the newest")
    elif applied < newest:
        text = f"{applied}, the newest is {newest}: `svoykrug migrate` or the next start applies the rest"
        yield Finding(f"{store} schema", text, is_well=not is_serving)
    else:
        yield Finding(f"{store} schema", f"{applied} is newer than this program, which knows {newest}", is_well=False)


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"
