"""What a caller is told whose only row was refused."""

from collections.abc import Callable, Mapping, Sequence

from svoykrug_server.kit.errors import Conflict, DomainError, FailedPrecondition, FieldViolation, InvalidFields
from svoykrug_server.purchases.model import Fault, Rejection

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


def refusal_of(rejection: Rejection, facts_of: Callable[[str], Mapping[str, str]], path: str = "") -> DomainError:
    """Returns the refusal of a call by that of its row.

    Args:
        rejection: Why the row was refused.
        facts_of: What the caller must know to mend what was refused for a reason.
        path: The row's path in the request, with a dot at its end.
    """
    faults = (Fault(rejection.reason, rejection.field), *rejection.further)
    kind = _KINDS.get(rejection.reason, InvalidFields)
    rules = tuple(FieldViolation(path + fault.field, _RULES_IN_WORDS[fault.reason, fault.field]) for fault in faults)
    return kind(common_reason(faults), metadata=facts_about(faults, facts_of), violations=rules)


def common_reason(faults: Sequence[Fault]) -> str:
    """Returns the reason of all faults; INVALID_FIELDS where they have several."""
    reasons = {fault.reason for fault in faults}
    return reasons.pop() if len(reasons) == 1 else "INVALID_FIELDS"


def facts_about(faults: Sequence[Fault], facts_of: Callable[[str], Mapping[str, str]]) -> dict[str, str]:
    """Returns what the caller must know to mend all faults."""
    return {name: fact for fault in faults for name, fact in facts_of(fault.reason).items()}
