"""Every method and every error says all that a stranger needs to know."""

import re

from contract import COMMON_REASONS, Contract, Method

READ_OR_WRITE = re.compile(r"\b(read only|atomic|idempotent)\b", re.IGNORECASE)
REASON = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
BUSINESS_CALLERS = {"BUSINESS_STAFF", "BUSINESS_OWNER"}


def path(method: Method) -> str:
    return f"{method.service}/{method.name}"


def test_there_are_methods_and_reasons_to_judge(contract: Contract) -> None:
    assert len(contract.methods) > 30
    assert len(contract.reasons) > 30


def test_every_method_has_an_access_rule(contract: Contract) -> None:
    assert [path(method) for method in contract.methods if not method.callers] == []


def test_public_stands_alone_in_a_rule(contract: Contract) -> None:
    mixed = [path(method) for method in contract.methods if "PUBLIC" in method.callers and len(method.callers) > 1]
    assert mixed == []


def test_a_scope_stands_exactly_where_a_service_may_call(contract: Contract) -> None:
    assert [path(method) for method in contract.methods if ("SERVICE" in method.callers) != bool(method.scope)] == []


def test_a_business_field_stands_exactly_where_a_business_may_call(contract: Contract) -> None:
    wrong = [
        path(method)
        for method in contract.methods
        if bool(BUSINESS_CALLERS & set(method.callers)) != bool(method.business_field)
    ]
    assert wrong == []


def test_every_method_says_who_calls_it(contract: Contract) -> None:
    assert [path(method) for method in contract.methods if "Callers:" not in method.comment] == []


def test_the_comment_names_the_scope_a_service_needs(contract: Contract) -> None:
    assert [path(method) for method in contract.methods if method.scope and method.scope not in method.comment] == []


def test_every_method_says_whether_it_is_atomic_and_idempotent(contract: Contract) -> None:
    assert [path(method) for method in contract.methods if not READ_OR_WRITE.search(method.comment)] == []


def test_a_method_without_side_effects_says_that_it_only_reads(contract: Contract) -> None:
    silent = [
        path(method) for method in contract.methods if method.read_only and "read only" not in method.comment.lower()
    ]
    assert silent == []


def test_every_method_names_its_errors(contract: Contract) -> None:
    silent = [
        path(method)
        for method in contract.methods
        if not REASON.search(method.errors) and "none of its own" not in method.errors
    ]
    assert silent == []


def test_every_error_that_a_method_names_is_in_the_catalogue(contract: Contract) -> None:
    known = {reason.name for reason in contract.reasons}
    unknown = {
        path(method): missing for method in contract.methods if (missing := set(REASON.findall(method.errors)) - known)
    }
    assert unknown == {}
    assert set(COMMON_REASONS) <= known


def test_every_reason_has_a_status_code(contract: Contract) -> None:
    assert [reason.name for reason in contract.reasons if reason.code in {"", "OK", "UNKNOWN"}] == []


def test_every_reason_has_a_text_in_both_languages(contract: Contract) -> None:
    wordless = [
        reason.name
        for reason in contract.reasons
        if not reason.text_en.isascii()
        or not reason.text_en.endswith(".")
        or not re.search("[а-яё]", reason.text_ru)
        or not reason.text_ru.endswith(".")
    ]
    assert wordless == []


def test_every_unavailable_reason_can_be_retried(contract: Contract) -> None:
    assert [reason.name for reason in contract.reasons if reason.code == "UNAVAILABLE" and not reason.retryable] == []
