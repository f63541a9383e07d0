from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest
from google.type.date_pb2 import Date
from hypothesis import assume, given
from hypothesis import strategies as st
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.users.v1 import user_pb2

from svoykrug_server.auth import convert
from svoykrug_server.auth.model import Revocation, SessionView, Tokens
from svoykrug_server.auth.phone_change import PhoneAnswer
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
            device_name=" \u202ePi\u200bxel\ufeff ",
            consents=[user_pb2.ConsentGrant(kind=user_pb2.CONSENT_KIND_MARKETING, version="1", granted=False)],
            referral_code="ABCDEF",
        )
    )
    assert (answer.challenge_id, answer.code, answer.request_id) == (challenge_id, "012345", request_id)
    assert (answer.device_name, answer.referral_code) == ("Pixel", "ABCDEF")
    assert answer.consents == (ConsentGrant("marketing", "1", False),)


def proof(day: Date | None) -> pb.CompleteSignInRequest:
    challenge_id = convert.challenge_id_to_text(uuid4())
    return pb.CompleteSignInRequest(challenge_id=challenge_id, request_id=str(uuid4()), birth_date=day)


def test_the_proof_of_a_silent_number_is_read() -> None:
    assert convert.answer_from_proto(proof(Date(year=1988, month=3, day=8))).birth_date == date(1988, 3, 8)
    assert convert.answer_from_proto(proof(None)).birth_date is None
    anew = pb.CompleteSignInRequest(start_new_account=True)
    anew.MergeFrom(proof(None))
    assert convert.answer_from_proto(anew).start_new_account


@pytest.mark.parametrize(
    "day", [Date(), Date(year=1988), Date(year=1988, month=2, day=30), Date(year=2**31 - 1, month=1, day=1)]
)
def test_what_is_no_whole_date_is_refused_by_the_name_of_its_field(day: Date) -> None:
    with pytest.raises(InvalidFields) as refused:
        convert.answer_from_proto(proof(day))
    assert refused.value.violations[0].path == "birth_date"


def test_the_answer_to_a_phone_change_is_read_whole() -> None:
    challenge_id, request_id = uuid4(), uuid4()
    request = pb.CompletePhoneChangeRequest(
        challenge_id=convert.challenge_id_to_text(challenge_id), code="012345", request_id=str(request_id)
    )
    assert convert.phone_answer_from_proto(request) == PhoneAnswer(challenge_id, "012345", request_id)
    assert "012345" not in repr(convert.phone_answer_from_proto(request))


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
