from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.users.v1 import user_pb2

from svoykrug_server.auth import convert
from svoykrug_server.auth.model import Revocation, SessionView, Tokens
from svoykrug_server.auth.refresh_tokens import RefreshToken
from svoykrug_server.auth.repository.revocation_feed import from_payload, to_payload
from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.kit.errors import InvalidFields

NOW = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)


@given(st.binary(min_size=16, max_size=16))
def test_a_challenges_id_comes_back_from_its_text(raw: bytes) -> None:
    challenge_id = UUID(bytes=raw)
    assert convert.challenge_id_from_text(convert.challenge_id_to_text(challenge_id)) == challenge_id


@given(st.text(max_size=64))
def test_a_text_that_is_no_challenges_id_is_refused_by_name(text: str) -> None:
    assume(len(text.rstrip("=")) != 22)
    with pytest.raises(InvalidFields) as refused:
        convert.challenge_id_from_text(text)
    assert [violation.path for violation in refused.value.violations] == ["challenge_id"]


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_a_refresh_token_comes_back_from_its_text(session_id: bytes, secret: bytes, tag: bytes) -> None:
    token = RefreshToken(UUID(bytes=session_id), secret, tag)
    assert RefreshToken.parse(token.render()) == token
    assert len(token.render()) == 86


@given(st.text(max_size=100))
def test_no_text_breaks_the_parser_of_refresh_tokens(text: str) -> None:
    token = RefreshToken.parse(text)
    assert token is None or len(token.secret) == 32


def test_a_revocation_comes_back_from_its_payload() -> None:
    revocation = Revocation(uuid4(), True, 7, NOW)
    assert from_payload(to_payload(revocation)) == revocation


def test_an_answer_is_read_whole() -> None:
    challenge_id, request_id = uuid4(), uuid4()
    answer = convert.answer_from_proto(
        pb.CompleteSignInRequest(
            challenge_id=convert.challenge_id_to_text(challenge_id),
            code="012345",
            request_id=str(request_id),
            device_name=" Pixel ",
            consents=[user_pb2.ConsentGrant(kind=user_pb2.CONSENT_KIND_MARKETING, version="1", granted=False)],
            referral_code="ABCDEF",
        )
    )
    assert (answer.challenge_id, answer.code, answer.request_id) == (challenge_id, "012345", request_id)
    assert (answer.device_name, answer.referral_code) == ("Pixel", "ABCDEF")
    assert answer.consents == (ConsentGrant("marketing", "1", False),)


def test_every_kind_of_consent_has_a_word() -> None:
    kinds = set(user_pb2.ConsentKind.values()) - {user_pb2.CONSENT_KIND_UNSPECIFIED}
    assert set(convert.CONSENT_KINDS) == kinds


def test_tokens_and_sessions_are_written_whole() -> None:
    tokens = convert.tokens_to_proto(Tokens("access", NOW, "refresh", NOW))
    assert (tokens.access_token, tokens.refresh_token) == ("access", "refresh")
    assert tokens.access_expire_time.ToDatetime(UTC) == tokens.refresh_expire_time.ToDatetime(UTC) == NOW
    view = SessionView(uuid4(), "Pixel", NOW, NOW, NOW, current=True)
    session = convert.session_to_proto(view)
    assert (session.id, session.device_name, session.current) == (str(view.session_id), "Pixel", True)
    assert session.last_use_time.ToDatetime(UTC) == NOW


@pytest.mark.parametrize(
    "shown", [repr(Tokens("access", NOW, "refresh", NOW)), repr(RefreshToken(uuid4(), b"s", b"t"))]
)
def test_no_token_shows_when_it_is_printed(shown: str) -> None:
    assert not {"'access'", "'refresh'", "b's'", "b't'"} & set(shown.replace("=", " ").replace(",", " ").split())
