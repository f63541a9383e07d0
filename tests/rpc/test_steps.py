"""The small pure steps, each alone."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.kit.errors import Limited
from svoykrug_server.rpc.address import client_address, is_loopback
from svoykrug_server.rpc.admission import Admission
from svoykrug_server.rpc.client_version import ClientVersionGate, version_from
from svoykrug_server.rpc.locale import locale_from
from svoykrug_server.rpc.request_id import request_id_from

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("ipv4:203.0.113.9:5000", [], "203.0.113.9"),
        ("ipv4:203.0.113.9:5000", ["198.51.100.1"], "203.0.113.9"),
        ("ipv4:10.0.0.1:5000", ["198.51.100.1"], "198.51.100.1"),
        ("ipv4:10.0.0.1:5000", ["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("ipv4:10.0.0.1:5000", ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        ("ipv4:10.0.0.1:5000", ["198.51.100.1, forged!"], "10.0.0.1"),
        ("ipv4:10.0.0.1:5000", ["10.0.0.3"], "10.0.0.3"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:5000", [], "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:203.0.113.9]:5000", [], "203.0.113.9"),
        ("ipv6:[fd00::1]:5000", ["2001:db8::1"], "2001:db8::/64"),
        ("unix:/run/x", ["198.51.100.1"], "unix"),
    ],
)
def test_an_address_is_the_peer_or_the_last_hop_that_no_proxy_of_ours_is(
    peer: str, forwarded: list[str], address: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=4))
def test_no_forged_header_or_peer_breaks_the_address(peer: str, forwarded: list[str]) -> None:
    assert client_address(peer, forwarded, PROXIES)


def test_only_this_machine_is_loopback() -> None:
    assert is_loopback("ipv4:127.0.0.1:5000")
    assert is_loopback("ipv6:[::1]:5000")
    assert is_loopback("unix:/run/x")
    assert not is_loopback("ipv4:203.0.113.9:5000")


@pytest.mark.parametrize(
    ("accepted", "locale"),
    [
        (None, "ru"),
        ("en", "en"),
        ("EN-us", "en"),
        ("de, en;q=0.5, ru;q=0.4", "en"),
        ("en;q=0.1, ru", "ru"),
        ("en;q=0", "ru"),
        ("en;q=much", "ru"),
        ("*", "ru"),
        (";;,,=", "ru"),
    ],
)
def test_the_language_is_the_best_of_russian_and_english(accepted: str | None, locale: str) -> None:
    assert locale_from(accepted, "ru") == locale


@given(st.text(max_size=300))
def test_no_accept_language_breaks_anything(accepted: str) -> None:
    assert locale_from(accepted, "en") in ("ru", "en")


@pytest.mark.parametrize("sent", [None, "", "short", "+79991234567", "79991234567", "x" * 65, "sixteen chars !!"])
def test_a_malformed_request_id_is_replaced(sent: str | None) -> None:
    made = request_id_from(sent)
    assert made != sent
    assert len(made) == 32


def test_versions_compare_by_number_and_not_by_letter() -> None:
    assert version_from("10.0") > version_from("9.9.9")
    assert version_from("2.4.1-beta+7") == (2, 4, 1)


def test_a_wrong_oldest_version_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        ClientVersionGate({"ios": "newest"})


def test_admission_counts_calls_and_forgets_them() -> None:
    admission = Admission(limit=2, limit_per_caller=1)
    admission.enter()
    admission.enter()
    with pytest.raises(Limited) as caught:
        admission.enter()
    assert caught.value.retry_after is not None
    assert timedelta(seconds=0.5) <= caught.value.retry_after <= timedelta(seconds=1.5)
    admission.leave()
    admission.enter()
    admission.enter_caller("her", now=0.0)
    with pytest.raises(Limited):
        admission.enter_caller("her", now=0.0)
    admission.enter_caller("another", now=0.0)
    admission.leave_caller("her")
    admission.enter_caller("her", now=0.0)
    assert admission.in_progress == 2
