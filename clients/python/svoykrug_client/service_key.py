"""The key of a service account, as `svoykrug keys create-service-account` writes it."""

import json
from dataclasses import astuple, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """What a service needs to sign in.

    Attributes:
        service_account_id: The account, a UUID.
        key_id: Names the public key on the server.
        audience: Whom the assertions are for: the server's issuer.
        private_key_pem: The private key (P-256 or RSA, PEM); never printed.
    """

    service_account_id: str
    key_id: str
    audience: str
    private_key_pem: str = field(repr=False)

    @property
    def algorithm(self) -> str:
        """How the key signs: `ES256` or `RS256`.

        Raises:
            ValueError: The PEM holds no private key.
        """
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  slow to import, and for services
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415  as above

        key = serialization.load_pem_private_key(self.private_key_pem.encode(), password=None)
        return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"

    def __post_init__(self) -> None:
        if not all(isinstance(value, str) for value in astuple(self)):
            raise TypeError("a service key is made of strings")

    @classmethod
    def from_file(cls, path: Path) -> "ServiceKey":
        """Reads a key file.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no service account key") from error
