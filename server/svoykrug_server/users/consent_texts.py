"""The texts that a person may consent to: a consent to a text that never was proves nothing."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.kit.errors import DomainError, InvalidFields


@dataclass(frozen=True, slots=True)
class ConsentTexts:
    """Which texts there are.

    Attributes:
        versions: Their versions; empty while any is taken.
    """

    versions: Set[str] = frozenset()

    def refusal(self, grants: Sequence[ConsentGrant]) -> DomainError | None:
        """Returns INVALID_FIELDS for consents to a text that there is not; None for others.

        Whatever she consented to once may be taken back, whether the text is still there or not.
        """
        for position, grant in enumerate(grants):
            if self.versions and grant.granted and grant.document_version not in self.versions:
                return InvalidFields.of(f"consents[{position}].version", "must be the version of a text that there is")
        return None


ANY_TEXT = ConsentTexts()
