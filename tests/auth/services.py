"""Programs with service accounts, and what they sign."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import jwt

from svoykrug_server.auth import key_material
from svoykrug_server.auth.composition import Auth
from svoykrug_server.auth.key_material import PrivateKey
from svoykrug_server.auth.key_model import Algorithm, NewServiceAccount, ServiceAccount, ServiceToken
from tests.auth.world import CALL, World

SCOPES = ("purchases.write", "users.write")


def pem_of(private_key: PrivateKey) -> bytes:
    """Returns the public half of a key as PEM."""
    return key_material.public_to_pem(private_key.public_key())


@dataclass(slots=True)
class Service:
    """A service account and its private key."""

    world: World
    account: ServiceAccount
    private_key: PrivateKey

    @classmethod
    async def made(
        cls, world: World, name: str = "import-crm", scopes: tuple[str, ...] = SCOPES, algorithm: Algorithm = "ES256"
    ) -> "Service":
        """Makes the account."""
        private_key = key_material.generate(algorithm)
        new = NewServiceAccount(name, scopes, pem_of(private_key))
        return cls(world, await world.auth.admin.accounts.create(new, uuid4(), None), private_key)

    @property
    def kid(self) -> str:
        """The id of its key."""
        return key_material.thumbprint(self.private_key.public_key())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Returns the claims of a good assertion, with changes; a claim of None is left out."""
        account_id, now = str(self.account.service_account_id), int(self.world.clock.now().timestamp())
        good = {
            "iss": account_id,
            "sub": account_id,
            "aud": "svoykrug",
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 60,
        }
        return {name: value for name, value in (good | changes).items() if value is not None}

    def assertion(self, headers: Mapping[str, Any] | None = None, key: PrivateKey | None = None, **claims: Any) -> str:
        """Returns a good assertion, with changes; a claim of None is left out."""
        signing = key or self.private_key
        algorithm = key_material.algorithm_of(signing.public_key())
        payload = json.dumps(self.claims(**claims)).encode()  # PyJWT would not write every claim that a thief does
        return jwt.PyJWS().encode(payload, signing, algorithm, headers={"kid": self.kid, **(headers or {})})

    async def token(self, assertion: str | None = None, *scopes: str, auth: Auth | None = None) -> ServiceToken:
        """Exchanges an assertion, a good one unless it is named, at this world's server unless another is named."""
        tokens = (auth or self.world.auth).use_cases.service_tokens
        return await tokens.issue(assertion or self.assertion(), frozenset(scopes), CALL)
