"""Protobuf <-> model for auth."""

import base64
import binascii
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.type.date_pb2 import Date
from svoykrug.auth.v1 import auth_service_pb2, session_pb2
from svoykrug.users.v1 import user_pb2

from svoykrug_server.auth.key_model import ServiceToken
from svoykrug_server.auth.model import DEFAULT_DEVICE_NAME, ChallengeView, SessionView, SignedIn, SignInAnswer, Tokens
from svoykrug_server.auth.phone_change import PhoneAnswer
from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.kit.names import without_hidden_characters
from svoykrug_server.rpc.timestamps import timestamp_from

CONSENT_KINDS = {
    user_pb2.CONSENT_KIND_TERMS: "terms",
    user_pb2.CONSENT_KIND_PERSONAL_DATA: "personal_data",
    user_pb2.CONSENT_KIND_MARKETING: "marketing",
    user_pb2.CONSENT_KIND_PROFILING: "profiling",
}
_CHALLENGE_ID_BYTES = 16


def challenge_id_to_text(challenge_id: UUID) -> str:
    """Returns a challenge's id as clients hold it: 22 characters of base64url."""
    return base64.urlsafe_b64encode(challenge_id.bytes).rstrip(b"=").decode()


def challenge_id_from_text(text: str) -> UUID:
    """Reads what `challenge_id_to_text` wrote.

    Raises:
        InvalidFields: It is something else.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _CHALLENGE_ID_BYTES:
        raise InvalidFields.of("challenge_id", "must be the id of a challenge")
    return UUID(bytes=raw)


def challenge_to_proto(view: ChallengeView) -> auth_service_pb2.Challenge:
    """Returns a challenge as a client counts it down."""
    return auth_service_pb2.Challenge(
        challenge_id=challenge_id_to_text(view.challenge_id),
        expire_time=timestamp_from(view.expire_time),
        resend_time=timestamp_from(view.resend_time),
        guesses_left_count=view.guesses_left,
    )


def answer_from_proto(request: auth_service_pb2.CompleteSignInRequest) -> SignInAnswer:
    """Reads the answer to a challenge.

    Raises:
        InvalidFields: The challenge's id has another form.
    """
    return SignInAnswer(
        challenge_id=challenge_id_from_text(request.challenge_id),
        code=request.code,
        request_id=UUID(request.request_id),
        device_name=without_hidden_characters(request.device_name).strip() or DEFAULT_DEVICE_NAME,
        consents=tuple(
            ConsentGrant(CONSENT_KINDS[consent.kind], consent.version, consent.granted) for consent in request.consents
        ),
        referral_code=request.referral_code,
        birth_date=_birth_date_from_proto(request.birth_date) if request.HasField("birth_date") else None,
        start_new_account=request.start_new_account,
    )


def phone_answer_from_proto(request: auth_service_pb2.CompletePhoneChangeRequest) -> PhoneAnswer:
    """Reads the answer to the challenge of a phone change.

    Raises:
        InvalidFields: The challenge's id has another form.
    """
    return PhoneAnswer(challenge_id_from_text(request.challenge_id), request.code, UUID(request.request_id))


def _birth_date_from_proto(day: Date) -> date:
    try:
        return date(day.year, day.month, day.day)
    except ValueError:
        raise InvalidFields.of("birth_date", "must be a whole date") from None


def signed_in_to_proto(signed_in: SignedIn) -> auth_service_pb2.CompleteSignInResponse:
    """Returns a completed sign-in."""
    return auth_service_pb2.CompleteSignInResponse(
        tokens=tokens_to_proto(signed_in.tokens),
        session=session_to_proto(signed_in.session),
        user_id=str(signed_in.user_id),
        new_user=signed_in.new_user,
        erase_time=None if signed_in.erase_time is None else timestamp_from(signed_in.erase_time),
    )


def tokens_to_proto(tokens: Tokens) -> session_pb2.Tokens:
    """Returns a pair of tokens."""
    return session_pb2.Tokens(
        access_token=tokens.access_token,
        access_expire_time=timestamp_from(tokens.access_expire_time),
        refresh_token=tokens.refresh_token,
        refresh_expire_time=timestamp_from(tokens.refresh_expire_time),
    )


def session_to_proto(session: SessionView) -> session_pb2.Session:
    """Returns a session as its owner sees it."""
    return session_pb2.Session(
        id=str(session.session_id),
        device_name=session.device_name,
        create_time=timestamp_from(session.create_time),
        last_use_time=timestamp_from(session.last_use_time),
        expire_time=timestamp_from(session.expire_time),
        current=session.current,
    )


def jwks_to_proto(keys: Sequence[dict[str, str]], max_age: timedelta) -> auth_service_pb2.GetJwksResponse:
    """Returns the public keys; a member that a key does not have stays empty."""
    return auth_service_pb2.GetJwksResponse(
        keys=[session_pb2.JsonWebKey(**key) for key in keys],
        max_age=Duration(seconds=int(max_age.total_seconds())),
    )


def service_token_to_proto(token: ServiceToken) -> auth_service_pb2.IssueServiceTokenResponse:
    """Returns a service's access token."""
    return auth_service_pb2.IssueServiceTokenResponse(
        access_token=token.access_token,
        expire_time=timestamp_from(token.expire_time),
        scopes=sorted(token.scopes),
    )
