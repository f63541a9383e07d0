"""Memberships for tests, wired as the server wires them."""

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.secrets import Secret, SecretName, Secrets
from svoykrug_server.users.membership.composition import Membership, compose_membership, membership_options
from tests.conftest import isolated_settings

_OLD_KEY, _NEW_KEY = Secret("1", b"old key of codes" * 2), Secret("2", b"new key of codes" * 2)
OLD_SECRETS = Secrets({SecretName.WALLET_CODE: (_OLD_KEY,)})
SECRETS = Secrets({SecretName.WALLET_CODE: (_OLD_KEY, _NEW_KEY)})


def membership_of(
    postgres: Postgres, clock: Clock, settings: Settings | None = None, secrets: Secrets = SECRETS
) -> Membership:
    """Returns everything about memberships, by the default settings or by others."""
    options = membership_options(settings or isolated_settings())
    return compose_membership(options, postgres, secrets, PageTokens(bytes(32)), clock)
