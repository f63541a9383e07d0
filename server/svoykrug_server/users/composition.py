"""How the parts of users fit together; called by the composition root, and by the tests of users."""

from dataclasses import dataclass

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.administration.accounts import AccountAdministration
from svoykrug_server.users.administration.listing import UserListing
from svoykrug_server.users.administration.reading import UserReading
from svoykrug_server.users.administration.servicer import AdministrationUseCases
from svoykrug_server.users.administration.trail import AuditTrail
from svoykrug_server.users.number_bans import NumberBans
from svoykrug_server.users.ports import Sessions
from svoykrug_server.users.service import UsersService


@dataclass(frozen=True, slots=True)
class Users:
    """Users, ready to be served.

    Attributes:
        profile: Profiles and members.
        administration: What admins and services do with users.
    """

    profile: UsersService
    administration: AdministrationUseCases


def compose_users(
    postgres: Postgres, sessions: Sessions, number_bans: NumberBans, page_tokens: PageTokens, clock: Clock
) -> Users:
    """Builds the use cases.

    Args:
        postgres: The system of record.
        sessions: The sessions that a ban, new roles and a new phone end.
        number_bans: Bans that outlive accounts.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
    """
    administration = AdministrationUseCases(
        reading=UserReading(postgres),
        listing=UserListing(postgres, page_tokens),
        accounts=AccountAdministration(postgres, sessions, number_bans, clock),
        trail=AuditTrail(postgres, page_tokens),
    )
    return Users(UsersService(postgres, clock), administration)
