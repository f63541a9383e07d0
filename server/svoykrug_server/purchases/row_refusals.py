"""What a caller is told whose only row was refused."""

from collections.abc import Mapping

from svoykrug_server.kit.errors import Conflict, DomainError, FailedPrecondition, FieldViolation, InvalidFields
from svoykrug_server.purchases.model import Rejection

_RULES_IN_WORDS = {
    ("INVALID_FIELDS", "external_id"): "must have 1 to 100 characters and no control character",
    ("INVALID_FIELDS", "user_id"): "must be a UUID",
    ("INVALID_FIELDS", "phone"): "must be a phone number, unless user_id is given",
    ("AMOUNT_OUT_OF_RANGE", "amount_minor"): "must be 0 to 100,000,000,000",
    ("CURRENCY_FOREIGN", "currency_code"): "must be the circle's currency",
    ("PURCHASE_TIME_OUT_OF_RANGE", "purchase_time"): "must not lie in the future or too long ago",
    ("EXTERNAL_ID_CONFLICT", "external_id"): "belongs to a different purchase",
    ("MEMBER_UNKNOWN", "phone"): "belongs to no member",
    ("MEMBER_UNKNOWN", "user_id"): "belongs to no member",
}

_KINDS: Mapping[str, type[DomainError]] = {"MEMBER_UNKNOWN": FailedPrecondition, "EXTERNAL_ID_CONFLICT": Conflict}


def refusal_of(rejection: Rejection, facts: Mapping[str, str], path: str) -> DomainError:
    """Returns the refusal of a call by that of its row.

    Args:
        rejection: Why the row was refused.
        facts: What the caller must know to mend it.
        path: The field's path in the request.
    """
    kind = _KINDS.get(rejection.reason, InvalidFields)
    rule = FieldViolation(path, _RULES_IN_WORDS[rejection.reason, rejection.field])
    return kind(rejection.reason, metadata=facts, violations=(rule,))
