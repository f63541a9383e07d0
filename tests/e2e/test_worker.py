"""Workers beside servers: they do the background work, any number of them, and end when asked to."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import SecretName
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.worker import working
from tests.conftest import isolated_settings
from tests.e2e.running import running
from tests.purchases.circle import Circle
from tests.storage.clickhouse_http import clickhouse_server
from tests.waiting import until

SECRETS = {f"{name}.1": b64encode(os.urandom(32)).decode() for name in SecretName}


@pytest.fixture
async def clickhouse_url(warehouse_folder: Path) -> AsyncIterator[str]:
    """A ClickHouse that many processes can reach."""
    async with clickhouse_server(str(warehouse_folder)) as server:
        yield server.url


@pytest.fixture
def shared(postgres_url: str, clickhouse_url: str, warehouse: Warehouse, data_dir: Path) -> dict[str, Any]:
    """The settings that servers and workers share."""
    return {
        "data_dir": data_dir,
        "database_url": postgres_url,
        "clickhouse_url": clickhouse_url,
        "clickhouse_database": warehouse.database,
        "secrets": SECRETS,
        "http_port": 0,
    }


async def asked(port: int, path: str) -> str:
    """Returns what a process answers to an operator."""

    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    return await asyncio.to_thread(fetch)


def start_worker(shared: dict[str, Any], ready_file: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Starts `svoykrug worker`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    ours = {f"SVOYKRUG_{name.upper()}": str(value) for name, value in shared.items()}
    ours |= {"SVOYKRUG_SECRETS": json.dumps(shared["secrets"]), "SVOYKRUG_READY_FILE": str(ready_file)}
    with log.open("wb") as output:
        command = [sys.executable, "-m", "svoykrug_server", "worker"]
        return subprocess.Popen(command, env=clean | ours, cwd="/", stderr=output)


@asynccontextmanager
async def idle_server(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Circle]:
    """Runs a server that leaves background work to workers, and a circle that buys in it."""
    async with running(postgres, warehouse, background_work=False) as server:
        jobs = server.foundation.supervisor.states
        assert set(jobs) == {"auth.signing_keys", "auth.revocations", "dashboards"}
        yield Circle(postgres, warehouse, ManualClock(datetime.now(UTC)))


async def test_what_a_server_leaves_undone_workers_do_once(
    postgres: Postgres, warehouse: Warehouse, shared: dict[str, Any]
) -> None:
    settings: Settings = isolated_settings(**shared)
    async with idle_server(postgres, warehouse) as circle:
        business_id, member = await circle.add_business(), await circle.add_member()
        await circle.buy(business_id, member, "receipt-1", at=circle.clock.now())
        assert await circle.warehouse_rows() == []
        async with working(settings) as first, working(settings) as second:
            await until(lambda: _has_rows(circle, 1), seconds=20)
            assert await circle.warehouse_rows() == await circle.ledger()
            for port in (first, second):
                assert await asked(port, "/healthz") == "alive\n"
                assert await asked(port, "/readyz") == "ready\n"
                facts = json.loads(await asked(port, "/doctor"))
                assert {"relay", "upkeep", "operations", "schedule", "auth.sms", "erasure"} <= set(facts["jobs"])
                assert "auth.revocations" not in facts["jobs"]
                assert len(facts["schedule"]) == 7


async def test_a_worker_process_ends_well_when_it_is_asked_to(shared: dict[str, Any], data_dir: Path) -> None:
    ready_file, log = data_dir.parent / "ready.json", data_dir.parent / "log.txt"
    process = start_worker(shared, ready_file, log)
    try:
        await until(lambda: ready_file.exists() or process.poll() is not None, seconds=60)
        assert process.poll() is None, log.read_text()
        facts = json.loads(ready_file.read_text())
        assert (facts["pid"], facts["addresses"]) == (process.pid, [])
        assert "pipeline_shipped_batches_total" in await asked(facts["http_port"], "/metrics")
    finally:
        process.terminate()
        exit_code = await asyncio.to_thread(process.wait, 30)
    assert exit_code == 0
    assert "worker_stopping" in log.read_text()
    assert "Traceback" not in log.read_text()


async def _has_rows(circle: Circle, count: int) -> bool:
    return len(await circle.warehouse_rows()) == count
