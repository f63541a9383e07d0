"""The description of any other provider: what is put into it stays a value, and what is wrong is told at the start."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.auth.sms.http_calls import HttpCalls
from svoykrug_server.auth.sms.http_description import read_description
from svoykrug_server.auth.sms.http_template import HttpTemplate, filled, filled_json, filled_url, found
from svoykrug_server.auth.sms.model import OutgoingSms
from svoykrug_server.kit.startup import CannotStart, ExitCode
from tests.auth.sms_providers import PlainProvider, listening
from tests.auth.world import PHONE

WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(WORDS)
def test_whatever_an_sms_says_is_one_value_of_a_url(text: str) -> None:
    url = filled_url("https://sms.example/send?to={phone}&text={text}&key=abc", {"phone": PHONE, "text": text})
    parts = urlsplit(url)
    assert url.isascii()
    assert (parts.hostname, parts.path, parts.fragment) == ("sms.example", "/send", "")
    assert parse_qsl(parts.query, keep_blank_values=True) == [("to", PHONE), ("text", text), ("key", "abc")]


@given(WORDS)
def test_whatever_an_sms_says_is_one_value_of_json(text: str) -> None:
    template = {"to": ["{phone}"], "text": "SMS: {text}", "{text}": 1, "flash": False}
    body = json.loads(json.dumps(filled_json(template, {"phone": PHONE, "text": text})))
    assert body == {"to": [PHONE], "text": f"SMS: {text}", "{text}": 1, "flash": False}


def test_what_is_put_in_is_not_read_again() -> None:
    assert filled("{text} {id}", {"text": "{id} {phone}", "id": "7"}) == "{id} {phone} 7"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.0.b", "7"),
        ("a.1.b", "x"),
        ("a.2.b", "true"),
        ("a.0", None),
        ("a.3.b", None),
        ("a.-1.b", None),
        ("a.x", None),
        ("b", None),
        ("c", None),
    ],
)
def test_a_path_finds_texts_numbers_and_truth(path: str, value: str | None) -> None:
    assert found({"a": [{"b": 7}, {"b": "x"}, {"b": True}], "c": None}, path) == value


async def test_a_provider_that_takes_gets_or_forms_is_described_too() -> None:
    provider = PlainProvider(codes=[200, 200])
    message = OutgoingSms("0123", PHONE, "a=1&b=2 +ё")
    async with listening(provider):
        for description in (
            {"url": f"{provider.url}/send?to={{digits}}&text={{text}}", "method": "GET"},
            {"url": f"{provider.url}/send", "form": {"to": "{digits}", "text": "{text}"}},
        ):
            receipt = await HttpTemplate(HttpCalls(1.0), read_description(json.dumps(description))).send(message)
            assert receipt.provider_message_id == "0123"
    got, posted = provider.received
    assert (got.method, got.query) == ("GET", {"to": PHONE[1:], "text": message.text})
    assert (posted.method, posted.form) == ("POST", {"to": PHONE[1:], "text": message.text})


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        ("{", "SVOYKRUG_SMS_HTTP: Invalid JSON"),
        ({}, "SVOYKRUG_SMS_HTTP: url: Field required"),
        ({"url": "http://sms.example/"}, "SVOYKRUG_SMS_HTTP: the URL must begin with https://"),
        ({"url": "ftp://sms.example/"}, "SVOYKRUG_SMS_HTTP: the URL must begin with https://"),
        ({"url": "https:///send"}, "SVOYKRUG_SMS_HTTP: the URL cannot be called"),
        ({"url": "https://sms.example:99999/"}, "SVOYKRUG_SMS_HTTP: the URL cannot be called"),
        ({"url": "https://sms.example:0/"}, "SVOYKRUG_SMS_HTTP: the URL cannot be called"),
        ({"url": "https://[sms.example/"}, "SVOYKRUG_SMS_HTTP: the URL cannot be called"),
        ({"url": "https://{id}.example/"}, "SVOYKRUG_SMS_HTTP: the URL cannot be called"),
        ({"url": "https://sms.example/a b"}, "SVOYKRUG_SMS_HTTP: the URL cannot be called"),
        ({"url": "https://sms.example/ё"}, "SVOYKRUG_SMS_HTTP: the URL cannot be called"),
        ({"url": "https://a.example/", "headers": {"a": "b\r\nc: d"}}, "SVOYKRUG_SMS_HTTP: a header is a name of"),
        ({"url": "https://a.example/", "headers": {"a b": "c"}}, "SVOYKRUG_SMS_HTTP: a header is a name of"),
        ({"url": "https://a.example/{code}"}, "SVOYKRUG_SMS_HTTP: {code} is no placeholder there"),
        ({"url": "https://a.example/", "form": {"a": "{x}"}}, "SVOYKRUG_SMS_HTTP: {x} is no placeholder there"),
        ({"url": "https://a.example/", "json_body": [{"a": "{x}"}]}, "SVOYKRUG_SMS_HTTP: {x} is no placeholder there"),
        ({"url": "https://a.example/", "headers": {"a": "{text}"}}, "SVOYKRUG_SMS_HTTP: {text} is no placeholder"),
        ({"url": "https://a.example/", "form": {}, "json_body": {}}, "SVOYKRUG_SMS_HTTP: form and json_body exclude"),
        ({"url": "https://a.example/", "method": "GET", "form": {}}, "SVOYKRUG_SMS_HTTP: GET has no form"),
        ({"url": "https://a.example/", "boby": {}}, "SVOYKRUG_SMS_HTTP: boby: Extra inputs are not permitted"),
        ({"url": "https://a.example/", "name": "Я"}, "SVOYKRUG_SMS_HTTP: name: String should match pattern"),
        (
            {"url": "https://a.example/", "status": {"url": "https://a/{text}", "code_path": "a", "delivered": ["1"]}},
            "SVOYKRUG_SMS_HTTP: status: {text} is no placeholder there",
        ),
    ],
)  # fmt: skip
def test_a_wrong_description_is_one_clear_line(description: Any, complaint: str) -> None:
    text = description if isinstance(description, str) else json.dumps(description)
    with pytest.raises(CannotStart) as refused:
        read_description(text)
    assert str(refused.value).startswith(complaint)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code is ExitCode.SETTINGS


def test_a_description_shows_no_key_when_it_is_printed() -> None:
    description = read_description(
        json.dumps({"url": "https://a.example/?key=s3cret", "headers": {"a": "s3cret"}, "json_body": {"key": "s3cret"}})
    )
    assert "s3cret" not in repr(description)
