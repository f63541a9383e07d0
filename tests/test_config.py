"""Settings that contradict themselves are refused before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from svoykrug_server.config import Settings
from svoykrug_server.kit.data_dir import default_data_dir
from tests.conftest import isolated_settings


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("circle_time_zone", "Nowhere/Land", "no such time zone"),
        ("circle_time_zone", "../../etc/passwd", "no such time zone"),
        ("oldest_client_versions", {"ios": "newest"}, "should match pattern"),
        ("tls_certificate", Path("chain.pem"), "set together or not at all"),
        ("tls_key", Path("key.pem"), "set together or not at all"),
        ("tls_client_authorities", Path("authorities.pem"), "needs SVOYKRUG_TLS_CERTIFICATE"),
        ("listen", (), "at least 1 item"),
        ("gateway_listen", "127.0.0.1", "should match pattern"),
        ("gateway_servers", ("api.internal",), "should match pattern"),
        ("gateway_tls_certificate", Path("chain.pem"), "are set together"),
        ("tier_elite_spend_minor", 2_999_999, "a higher tier takes no less"),
        ("tier_inner_circle_spend_minor", 9_999_999, "a higher tier takes no less"),
        ("tier_vip_categories", 6, "a higher tier takes no fewer"),
        ("warehouse_retention_months", 12, "need the year before it"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: str, value: object, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        isolated_settings(**{setting: value})


def test_a_server_behind_its_own_gateway_believes_this_machine_and_whom_it_believed_before() -> None:
    behind = isolated_settings(trusted_proxies=("10.0.0.0/8",)).behind_own_gateway()
    assert [str(network) for network in behind.trusted_proxies] == ["10.0.0.0/8", "127.0.0.1/32", "::1/128"]


def test_settings_that_make_sense_are_taken() -> None:
    settings = isolated_settings(
        circle_time_zone="UTC",
        oldest_client_versions={"ios": "2.4.0"},
        tls_certificate=Path("chain.pem"),
        tls_key=Path("key.pem"),
    )
    assert settings.circle_time_zone == "UTC"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATA_DIR", "READY_FILE", "HTTP_HOST", "LISTEN", "TRUSTED_PROXIES"):
        monkeypatch.setenv(f"SVOYKRUG_{name}", "")
    settings = Settings()
    assert settings.data_dir == default_data_dir()
    assert settings.ready_file is None
    assert (settings.http_host, settings.listen) == ("127.0.0.1", ("127.0.0.1:50051",))


def test_a_version_of_a_consent_that_the_contract_does_not_take_is_refused() -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        isolated_settings(consent_versions=("two words",))
