"""How the parts of users fit together; called by the composition root, and by the tests of users."""

from dataclasses import dataclass

from svoykrug_server.kit.clock import Clock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.administration.reading import UserReading
from svoykrug_server.users.administration.servicer import AdministrationUseCases
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


def compose_users(postgres: Postgres, clock: Clock) -> Users:
    """Builds the use cases.

    Args:
        postgres: The system of record.
        clock: Tells the time.
    """
    return Users(UsersService(postgres, clock), AdministrationUseCases(UserReading(postgres)))
