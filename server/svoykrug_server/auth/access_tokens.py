"""Access tokens: JWTs of RFC 9068 (`typ: at+jwt`), signed with our active key.

Claims: iss, aud, sub, jti, iat, exp, kind (person or service), epoch; for a person also sid, roles, staff (role by
business id), tier and, while her account is deleted, `deleted` in place of roles and staff; for a service scopes.
`epoch` counts how often her rights changed within the session: a token of a lower one is stale.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt

from svoykrug_server.auth.key_model import ServiceAccount, ServiceToken
from svoykrug_server.auth.model import Session, SessionLimits
from svoykrug_server.auth.signing_keys import SigningKeys, VerificationKey
from svoykrug_server.kit.account import AccountStatus, PersonClaims
from svoykrug_server.kit.caller import Caller, Role, StaffRole
from svoykrug_server.kit.errors import Unauthenticated
from svoykrug_server.kit.ids import uuid7

TOKEN_TYPE = "at+jwt"  # noqa: S105  the name of a kind of token, not one
MAX_TOKEN_CHARACTERS = 8192
_REQUIRED = ["iss", "aud", "sub", "jti", "iat", "exp", "kind", "epoch"]
# The times are compared with our own clock, below: PyJWT would take the machine's.
_OPTIONS: Any = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class Party:
    """Who makes access tokens and whom they are for.

    Attributes:
        issuer: The `iss` of our tokens, and the `aud` of assertions made for us.
        audience: The `aud` of our tokens.
    """

    issuer: str
    audience: str


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature and claims were checked.

    Attributes:
        caller: Who holds it.
        grant_id: The session, or the service account, that it hangs on.
        epoch: How often rights had changed when it was made.
        dead_time: When it is refused, leeway included; aware.
    """

    caller: Caller
    grant_id: UUID
    epoch: int
    dead_time: datetime


class AccessTokens:
    """Makes and reads access tokens.

    Args:
        keys: The signing keys.
        party: Who makes them and whom they are for.
        limits: How long they live.
    """

    def __init__(self, keys: SigningKeys, party: Party, limits: SessionLimits) -> None:
        self._keys = keys
        self._party = party
        self._limits = limits

    def for_person(self, session: Session, claims: PersonClaims, now: datetime) -> tuple[str, datetime]:
        """Makes a person's token.

        Returns:
            The JWT, and when it dies.
        """
        deleted = claims.status is AccountStatus.DELETED
        rights = {
            "roles": sorted(role.value for role in claims.roles),
            "staff": {str(business_id): role.value for business_id, role in claims.staff.items()},
        }
        return self._sign(
            now,
            {
                "kind": "person",
                "sub": str(session.user_id),
                "sid": str(session.session_id),
                "epoch": session.access_epoch,
                "tier": claims.tier,
                **({"roles": [], "staff": {}, "deleted": True} if deleted else rights),
            },
        )

    def for_service(self, account: ServiceAccount, scopes: frozenset[str], now: datetime) -> ServiceToken:
        """Makes a service's token."""
        token, expire_time = self._sign(
            now,
            {
                "kind": "service",
                "sub": str(account.service_account_id),
                "epoch": account.access_epoch,
                "scopes": sorted(scopes),
            },
        )
        return ServiceToken(token, expire_time, scopes)

    def _sign(self, now: datetime, claims: dict[str, Any]) -> tuple[str, datetime]:
        key = self._keys.active
        issued_seconds = int(now.timestamp())
        expire_seconds = issued_seconds + int(self._limits.access_life.total_seconds())
        common = {
            "iss": self._party.issuer,
            "aud": self._party.audience,
            "jti": str(uuid7(now)),
            "iat": issued_seconds,
            "exp": expire_seconds,
        }
        token = jwt.encode(
            common | claims, key.private_key, algorithm=key.algorithm, headers={"kid": key.kid, "typ": TOKEN_TYPE}
        )
        return token, datetime.fromtimestamp(expire_seconds, UTC)

    async def read(self, token: str, now: datetime) -> VerifiedToken:
        """Checks a token's form, signature, claims and times; not whether it was revoked.

        Raises:
            Unauthenticated: TOKEN_INVALID or TOKEN_EXPIRED.
        """
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise Unauthenticated("TOKEN_INVALID")
        try:
            key = await self._key_of(token)
            payload = jwt.decode(
                token,
                key.public_key,
                algorithms=[key.algorithm],
                audience=self._party.audience,
                issuer=self._party.issuer,
                options=_OPTIONS,
            )
            verified = self._verified(payload, key)
            issue_time = datetime.fromtimestamp(payload["iat"], UTC)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise Unauthenticated("TOKEN_INVALID") from error
        if issue_time > now + self._limits.leeway:
            raise Unauthenticated("TOKEN_INVALID")
        if now >= verified.dead_time:
            raise Unauthenticated("TOKEN_EXPIRED")
        return verified

    async def _key_of(self, token: str) -> VerificationKey:
        """Finds the key in our own set: whatever else the header names (`jku`, `x5u`, `jwk`) is not looked at."""
        header = jwt.get_unverified_header(token)
        if header.get("typ") != TOKEN_TYPE or "crit" in header:
            raise ValueError("not an access token")
        key = await self._keys.find(header["kid"])
        if key is None or header.get("alg") != key.algorithm:
            raise ValueError("not one of our keys")
        return key

    def _verified(self, payload: dict[str, Any], key: VerificationKey) -> VerifiedToken:
        expire_time = datetime.fromtimestamp(payload["exp"], UTC)
        person = payload["kind"] == "person"
        if not person and payload["kind"] != "service":
            raise ValueError("neither a person's nor a service's")
        subject_id = UUID(payload["sub"])
        session_id = UUID(payload["sid"]) if person else None
        caller = Caller(
            subject_id=subject_id,
            token_id=payload["jti"],
            expire_time=expire_time,
            session_id=session_id,
            roles=frozenset(Role(role) for role in payload["roles"]) if person else frozenset(),
            staff={UUID(key): StaffRole(role) for key, role in payload["staff"].items()} if person else {},
            scopes=frozenset() if person else frozenset(payload["scopes"]),
            deleted=person and payload.get("deleted") is True,
        )
        dead_time = expire_time + self._limits.leeway
        if key.verify_until_time is not None:
            dead_time = min(dead_time, key.verify_until_time)
        return VerifiedToken(caller, session_id or subject_id, int(payload["epoch"]), dead_time)
