"""Consents: given, taken back, and kept for ever with their time and the version of the text."""

from collections.abc import Sequence
from uuid import UUID

from svoykrug_server.kit.account import AccountStatus, ConsentGrant
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import FailedPrecondition, InvalidFields, PermissionDenied
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.postgres import Postgres, Transaction
from svoykrug_server.users import repository
from svoykrug_server.users.consent_texts import ConsentTexts
from svoykrug_server.users.membership import consent_repository
from svoykrug_server.users.membership.model import Consent
from svoykrug_server.users.model import REQUIRED_CONSENTS, ConsentKind
from svoykrug_server.users.service import caller_of


class Consents:
    """A person's own consents.

    Args:
        postgres: The system of record.
        clock: Tells the time.
        texts: What may be consented to.
    """

    def __init__(self, postgres: Postgres, clock: Clock, texts: ConsentTexts) -> None:
        self._postgres = postgres
        self._clock = clock
        self._texts = texts

    async def get(self, user_id: UUID) -> Sequence[Consent]:
        """Returns a person's consents as they stand, in the order of their kinds."""
        async with self._postgres.read() as connection:
            found = await consent_repository.read(connection, user_id)
        return tuple(found.values())

    async def set(self, call: Origin, grants: Sequence[ConsentGrant]) -> Sequence[Consent]:
        """Writes what the caller says and does not stand already; returns all her consents as they stand.

        Args:
            call: The call in progress.
            grants: What she says; the kinds that are not named stay.

        Raises:
            InvalidFields: A kind is named twice, or a text that there is not.
            FailedPrecondition: CONSENT_REQUIRED, with the kinds that cannot be taken back as `missing`.
            PermissionDenied: The caller was erased or is deleted.
        """
        _check(grants)
        refusal = self._texts.refusal(grants)
        if refusal is not None:
            raise refusal
        async with self._postgres.transaction() as tx:
            user = await repository.lock(tx, caller_of(call).subject_id)
            if user is None or user.status is AccountStatus.DELETED:
                raise PermissionDenied
            stands = await consent_repository.standing(tx, user.id)
            news = [grant for grant in grants if _is_news(grant, stands)]
            if news:
                await self._append(tx, call, user.id, news)
                stands = await consent_repository.standing(tx, user.id)
        return tuple(stands.values())

    async def _append(self, tx: Transaction, call: Origin, user_id: UUID, news: Sequence[ConsentGrant]) -> None:
        now = self._clock.now()
        await repository.add_consents(tx, user_id, news, now)
        details = {"consents": {grant.kind: grant.granted for grant in news}}
        event = event_of_call(call, "CONSENTS_SET", now, target=("user", str(user_id)), details=details)
        await audit.append(tx, event)


def _check(grants: Sequence[ConsentGrant]) -> None:
    seen: set[str] = set()
    for position, grant in enumerate(grants):
        if grant.kind in seen:
            raise InvalidFields.of(f"consents[{position}].kind", "must be named once")
        seen.add(grant.kind)
    taken_back = [grant.kind for grant in grants if grant.kind in REQUIRED_CONSENTS and not grant.granted]
    if taken_back:
        raise FailedPrecondition("CONSENT_REQUIRED", metadata={"missing": ",".join(taken_back)})


def _is_news(grant: ConsentGrant, stands: dict[ConsentKind, Consent]) -> bool:
    last = stands.get(ConsentKind(grant.kind))
    return last is None or (last.document_version, last.granted) != (grant.document_version, grant.granted)
