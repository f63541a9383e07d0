"""How the parts of her data fit together; called by the composition root, and by tests."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import Clock
from svoykrug_server.storage.personal_data import Declared
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.number_bans import NumberBans
from svoykrug_server.users.personal_data.deletion import AccountDeletion
from svoykrug_server.users.personal_data.eraser import Eraser
from svoykrug_server.users.personal_data.export import DataExport
from svoykrug_server.users.personal_data.servicer import PersonalDataUseCases
from svoykrug_server.users.ports import Sessions

Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PersonalDataOptions:
    """The numbers of her data; each is a setting.

    Attributes:
        grace: How long a deletion can be taken back.
        erasure_interval: How often erasures that are due are looked for; also the wait after a first failed attempt.
    """

    grace: timedelta = timedelta(days=30)
    erasure_interval: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Her data, ready to be served.

    Attributes:
        use_cases: What is done with it.
        eraser: Erases whose time has come.
        background: The jobs to run beside the server, by name.
    """

    use_cases: PersonalDataUseCases
    eraser: Eraser
    background: Mapping[str, Job]


def personal_data_options(settings: Settings) -> PersonalDataOptions:
    """Returns the numbers of her data, as the settings say."""
    return PersonalDataOptions(
        grace=timedelta(days=settings.deletion_grace_days),
        erasure_interval=timedelta(seconds=settings.erasure_interval_seconds),
    )


def compose_personal_data(
    options: PersonalDataOptions,
    postgres: Postgres,
    warehouse: Warehouse,
    declared: Declared,
    sessions: Sessions,
    number_bans: NumberBans,
    clock: Clock,
) -> PersonalData:
    """Builds the use cases and the job.

    Args:
        options: The numbers.
        postgres: The system of record.
        warehouse: The analytics copy.
        declared: What every feature keeps of a person.
        sessions: What is ended for whoever is deleted.
        number_bans: Bans that outlive accounts.
        clock: Tells the time.
    """
    eraser = Eraser(postgres, warehouse, declared, sessions, number_bans, clock, options.erasure_interval)
    deletion = AccountDeletion(postgres, sessions, number_bans, clock, options.grace, eraser.wake)
    export = DataExport(postgres, warehouse, declared, clock)
    return PersonalData(PersonalDataUseCases(deletion, export), eraser, {"erasure": eraser.run})
