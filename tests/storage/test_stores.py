"""Both stores are opened as the settings say, embedded or by URL."""

import base64
from pathlib import Path

import pytest
from pydantic import SecretStr

from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.migrate import postgres_state
from svoykrug_server.storage.secrets import SecretName
from svoykrug_server.storage.stores import check_clickhouse_url, open_folder, open_stores, open_warehouse
from tests.conftest import isolated_settings


async def test_with_a_url_that_server_is_used_and_none_is_started(data_dir: Path, postgres_url: str) -> None:
    settings = isolated_settings(data_dir=data_dir, database_url=SecretStr(postgres_url))
    async with open_stores(settings) as stores:
        assert stores.embedded is None
        assert (await postgres_state(stores.postgres)).is_current
    assert not (data_dir / "postgres").exists()


async def test_without_a_url_an_embedded_one_is_started_and_stopped(data_dir: Path) -> None:
    async with open_stores(isolated_settings(data_dir=data_dir)) as stores:
        assert stores.embedded is not None
        embedded = stores.embedded
        assert embedded.is_running()
        assert (await postgres_state(stores.postgres)).is_current
    assert not embedded.is_running()


async def test_given_secrets_go_before_generated_ones(data_dir: Path, postgres_url: str) -> None:
    given = {f"{name}.7": SecretStr(base64.b64encode(bytes(32)).decode()) for name in SecretName}
    settings = isolated_settings(data_dir=data_dir, database_url=SecretStr(postgres_url), secrets=given)
    async with open_stores(settings) as stores:
        assert stores.secrets.current(SecretName.OTP_PEPPER).kid == "7"
    assert not list((data_dir / "secrets").iterdir())


@pytest.mark.parametrize("what", ["password", "database"])
async def test_a_refusal_of_postgres_is_one_clear_line(data_dir: Path, postgres_url: str, what: str) -> None:
    before, at, place = postgres_url.rpartition("@")
    url = f"{before}wrong{at}{place}" if what == "password" else f"{postgres_url}_nowhere"
    with pytest.raises(CannotStart, match="refuses us") as refusal:
        async with open_stores(isolated_settings(data_dir=data_dir, database_url=SecretStr(url))):
            raise AssertionError
    assert refusal.value.exit_code is ExitCode.POSTGRES
    assert before.rpartition(":")[2] not in str(refusal.value)


async def test_a_clickhouse_that_is_away_does_not_keep_the_server_from_starting(
    data_dir: Path, unused_tcp_port: int
) -> None:
    url = SecretStr(f"http://127.0.0.1:{unused_tcp_port}")
    settings = isolated_settings(data_dir=data_dir, clickhouse_url=url)
    async with open_warehouse(settings, open_folder(settings)) as warehouse:
        with pytest.raises(WarehouseUnavailable):
            await warehouse.query("SELECT 1")


@pytest.mark.parametrize("url", ["http://h:8123", "https://u:p@h/"])
def test_the_url_of_a_clickhouse_server_is_taken(url: str) -> None:
    check_clickhouse_url(url)


@pytest.mark.parametrize("url", ["", "h:8123", "tcp://u:secret@h:9000", "http://u:secret@h:port", "http://"])
def test_another_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(CannotStart, match="SVOYKRUG_CLICKHOUSE_URL") as refusal:
        check_clickhouse_url(url)
    assert "secret" not in str(refusal.value)
