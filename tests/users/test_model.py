from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.ids import random_referral_code, uuid7
from svoykrug_server.users.model import Locale, ProfileChange, Tier, User, is_plain_text, mask_phone, read_referral_code

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ANNA = User(
    id=uuid7(NOW),
    phone="+79991234567",
    display_name="Анна",
    email="anna@example.org",
    birth_date=None,
    locale=Locale.RU,
    tier=Tier.INSIDER,
    roles=frozenset({Role.MEMBER}),
    staff=(),
    status=AccountStatus.ACTIVE,
    version=3,
    referral_code="ABCD2345",
    create_time=NOW,
    update_time=NOW,
)


@pytest.mark.parametrize("name", ["x" * 101, "two\nlines", "a\x00b", "tab\t", "\x7f"])
def test_a_user_refuses_a_display_name_that_is_too_long_or_holds_a_control_character(name: str) -> None:
    with pytest.raises(ValueError, match="display name"):
        replace(ANNA, display_name=name)


@pytest.mark.parametrize("email", ["anna", "a b@example.org", "a@b@c", "@", "x" * 250 + "@example.org", "a@b\x00"])
def test_a_user_refuses_what_cannot_be_an_email_address(email: str) -> None:
    with pytest.raises(ValueError, match="e-mail"):
        replace(ANNA, email=email)


def test_another_version_of_a_user_has_another_etag() -> None:
    assert ANNA.etag != replace(ANNA, version=4).etag


def test_a_change_that_names_no_field_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one field"):
        ProfileChange(frozenset())


@given(st.text())
def test_plain_text_is_text_without_control_characters(text: str) -> None:
    assert is_plain_text(text) == all(not (character < " " or "\x7f" <= character < "\xa0") for character in text)


@given(st.integers(min_value=10_000_000, max_value=999_999_999_999_999))
def test_a_masked_phone_shows_one_digit_in_front_and_two_behind(digits: int) -> None:
    phone = f"+{digits}"
    masked = mask_phone(phone)
    assert len(masked) == len(phone)
    assert (masked[:2], masked[-2:]) == (phone[:2], phone[-2:])
    assert set(masked[2:-2]) == {"*"}


def test_no_digit_of_a_very_short_phone_is_shown() -> None:
    assert mask_phone("+123456") == "*******"
    assert mask_phone("") == ""


def test_a_code_of_ours_is_read_in_any_case_and_with_the_letters_people_mistake_for_digits() -> None:
    code = random_referral_code()
    assert read_referral_code(f" {code.lower()} ") == code
    assert read_referral_code("oil2345A") == "0112345A"


@pytest.mark.parametrize("text", ["", "ABCDE", "ABCDEFGHJK2", "ABC-DEF", "АБВГДЕ"])
def test_what_cannot_be_a_referral_code_is_none(text: str) -> None:
    assert read_referral_code(text) is None
