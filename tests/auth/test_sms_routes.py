"""Which providers send, as the settings say; settings that are incomplete or wrong are one clear line at the start."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.sms.routes import SmsRoutes, sms_routes
from svoykrug_server.config import Settings
from svoykrug_server.kit.startup import CannotStart, ExitCode
from tests.conftest import isolated_settings

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "sms.md"
HTTP = json.dumps({"name": "plain", "url": "https://sms.example/send"})


def routes_of(**settings: Any) -> SmsRoutes:
    """Returns the ways out of a server with some settings."""
    return sms_routes(isolated_settings(**settings), CollectorRegistry())


def test_without_settings_the_console_shows_messages() -> None:
    routes = routes_of()
    assert [sender.name for sender in routes.senders] == ["console"]
    assert not routes.reporters


def test_providers_are_asked_in_the_order_of_the_settings() -> None:
    providers = ["smsc", "http", "smsru", "console"]
    routes = routes_of(sms_providers=providers, smsru_api_id="a", smsc_login="b", smsc_password="c", sms_http=HTTP)
    assert [sender.name for sender in routes.senders] == ["smsc", "plain", "smsru", "console"]
    assert set(routes.reporters) == {"smsc", "smsru"}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"sms_providers": ["smsru"]}, "names smsru: set SVOYKRUG_SMSRU_API_ID."),
        ({"sms_providers": ["smsc"]}, "names smsc: set SVOYKRUG_SMSC_API_KEY, or"),
        ({"sms_providers": ["smsc"], "smsc_login": "a"}, "names smsc: set SVOYKRUG_SMSC_API_KEY, or"),
        ({"sms_providers": ["http"]}, "names http: set SVOYKRUG_SMS_HTTP."),
        ({"sms_providers": ["console", "console"]}, "names a provider twice"),
        (
            {"sms_providers": ["http", "smsru"], "smsru_api_id": "a", "sms_http": HTTP.replace("plain", "smsru")},
            "names a provider twice",
        ),
        ({"sms_providers": ["smsru"], "smsru_api_id": "a", "smsru_url": "http://sms.ru"}, "SMSRU_URL: the URL must"),
        ({"sms_providers": ["smsc"], "smsc_api_key": "a", "smsc_url": "smsc.ru"}, "SMSC_URL: the URL must begin"),
    ],
)
def test_a_provider_whose_settings_are_incomplete_stops_the_start_with_one_line(
    settings: dict[str, Any], line: str
) -> None:
    with pytest.raises(CannotStart) as refused:
        routes_of(**settings)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code is ExitCode.SETTINGS


@pytest.mark.parametrize(
    ("example", "names"), [(0, ["smsru"]), (1, ["smsc", "smsru"]), (2, ["example", "smsru"])], ids=["one", "two", "any"]
)
def test_the_examples_of_the_documentation_are_settings(
    example: int, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENTATION.read_text("utf-8"), re.DOTALL)
    (tmp_path / ".env").write_text(blocks[example], "utf-8")
    monkeypatch.chdir(tmp_path)
    routes = sms_routes(Settings(), CollectorRegistry())
    assert [sender.name for sender in routes.senders] == names
    assert set(routes.reporters) == set(names)


@pytest.mark.parametrize("providers", [[], ["sms"]])
def test_a_server_has_a_provider_that_exists(providers: list[str]) -> None:
    with pytest.raises(ValidationError):
        isolated_settings(sms_providers=providers)


def test_the_lease_of_a_message_outlives_its_longest_round() -> None:
    settings = isolated_settings(sms_providers=["smsru", "smsc", "http"], sms_timeout_seconds=60)
    assert auth_options(settings).sms.lease.total_seconds() >= 3 * 60
    assert auth_options(isolated_settings()).sms.lease.total_seconds() == 30
