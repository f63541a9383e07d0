"""Every method that HTTP can carry has a path that a person would guess, and one only."""

import re
from collections import Counter
from collections.abc import Iterator

from contract import Binding, Contract, Method
from google.protobuf.descriptor import FieldDescriptor

SEGMENT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*|\{[a-z_]+(\.[a-z_]+)?\}")
# What must not stand in an address: addresses are kept in histories and in the logs of everything on the way.
UNSPEAKABLE = {"phone", "code", "name", "token", "refresh_token", "assertion", "wallet_code", "birth_date", "email"}


def mapped(contract: Contract) -> Iterator[tuple[Method, Binding]]:
    """Yield each method with each of its bindings."""
    for method in contract.methods:
        for binding in method.bindings:
            yield method, binding


def fields_beside_the_body(contract: Contract, method: Method, binding: Binding) -> set[str]:
    """Return the fields that stand in the address: in its path or its query."""
    every = {field.name for field in contract.pool.FindMessageTypeByName(method.request).fields}
    in_path = {variable.partition(".")[0] for variable in binding.variables}
    return in_path if binding.body == "*" else every - {binding.body} if binding.body else every


def field_at(contract: Contract, message: str, path: str) -> FieldDescriptor:
    """Return the field that a path such as `user.id` leads to from a message."""
    first, _, rest = path.partition(".")
    field = contract.pool.FindMessageTypeByName(message).fields_by_name[first]
    return field_at(contract, field.message_type.full_name, rest) if rest and field.message_type else field


def test_exactly_the_methods_without_a_client_stream_are_mapped(contract: Contract) -> None:
    assert [method.name for method in contract.methods if bool(method.bindings) == method.client_streaming] == []


def test_no_two_methods_share_a_verb_and_a_path(contract: Contract) -> None:
    taken = Counter((binding.verb, re.sub(r"\{[^}]*\}", "{}", binding.path)) for _, binding in mapped(contract))
    assert [where for where, count in taken.items() if count > 1] == []


def test_a_body_is_sent_exactly_where_one_may_be(contract: Contract) -> None:
    wrong = [method.name for method, binding in mapped(contract) if binding.body and binding.verb in {"GET", "DELETE"}]
    assert wrong == []


def test_what_changes_something_is_no_get_and_keeps_its_values_in_the_body(contract: Contract) -> None:
    for method, binding in mapped(contract):
        if binding.verb == "GET":
            assert method.read_only, method.name
        else:
            in_address = fields_beside_the_body(contract, method, binding)
            in_path = {variable.partition(".")[0] for variable in binding.variables}
            assert in_address <= in_path | {"update_mask", "business_id"}, method.name


def test_a_body_that_could_hold_nothing_is_not_asked_for(contract: Contract) -> None:
    for method, binding in mapped(contract):
        fields = contract.pool.FindMessageTypeByName(method.request).fields_by_name
        assert binding.body != "*" or set(fields) - set(binding.variables), method.name
        assert binding.body in {"", "*"} or binding.body in fields, method.name


def test_every_variable_of_a_path_is_a_single_string_of_the_request(contract: Contract) -> None:
    for method, binding in mapped(contract):
        for variable in binding.variables:
            field = field_at(contract, method.request, variable)
            assert (field.type, field.is_repeated) == (FieldDescriptor.TYPE_STRING, False), method.name


def test_nothing_secret_or_personal_stands_in_an_address(contract: Contract) -> None:
    for method, binding in mapped(contract):
        assert not fields_beside_the_body(contract, method, binding) & UNSPEAKABLE, method.name


def test_paths_are_lower_case_words_with_hyphens_and_at_most_one_verb_at_the_end(contract: Contract) -> None:
    for method, binding in mapped(contract):
        if binding.path == "/.well-known/jwks.json":
            continue
        path, _, verb = binding.path.partition(":")
        assert re.fullmatch(r"([a-z]+(-[a-z]+)*)?", verb), method.name
        version, *segments = path.removeprefix("/").split("/")
        assert version == "v1", method.name
        assert all(SEGMENT.fullmatch(segment) for segment in segments), method.name


def test_what_is_asked_of_a_business_is_asked_of_the_circle_by_a_path_of_its_own(contract: Contract) -> None:
    for method in contract.methods:
        if method.service == "svoykrug.analytics.v1.AnalyticsService":
            of_business, of_circle = method.bindings
            assert of_circle.path == of_business.path.replace("/businesses/{business_id}", "/circle"), method.name
            assert (of_circle.verb, of_circle.body) == (of_business.verb, of_business.body), method.name
