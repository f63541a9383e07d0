"""Settings that contradict themselves are refused before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

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
        ("tier_elite_spend_minor", 2_999_999, "a higher tier takes no less"),
        ("tier_inner_circle_spend_minor", 9_999_999, "a higher tier takes no less"),
        ("tier_vip_categories", 6, "a higher tier takes no fewer"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: str, value: object, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        isolated_settings(**{setting: value})


def test_settings_that_make_sense_are_taken() -> None:
    settings = isolated_settings(
        circle_time_zone="UTC",
        oldest_client_versions={"ios": "2.4.0"},
        tls_certificate=Path("chain.pem"),
        tls_key=Path("key.pem"),
    )
    assert settings.circle_time_zone == "UTC"
