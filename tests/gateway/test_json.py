"""JSON over HTTP, called by curl: what a person would guess works, and what is wrong is said."""

import base64
import json
from collections.abc import Iterator
from uuid import uuid4

import aiohttp
import jwt
import pytest
from contract import Binding, Contract, Method
from openapi_schema_validator import OAS31Validator
from structlog.testing import capture_logs

from svoykrug_server.auth.convert import challenge_id_from_text
from tests.gateway.curl import Answer, curl
from tests.gateway.front import Front
from tests.waiting import until

CONSENTS = [
    {"kind": kind, "version": "2026-11", "granted": True}
    for kind in ("CONSENT_KIND_TERMS", "CONSENT_KIND_PERSONAL_DATA")
]


async def signed_in(front: Front, phone: str) -> str:
    """Signs a person in through the gateway, and returns her access token."""
    started = await front.call("POST", "/v1/auth/sign-in:start", {"phone": phone})
    challenge_id = started.json["challenge"]["challenge_id"]
    code = front.circle.code_of(challenge_id_from_text(challenge_id))
    proof = {"challenge_id": challenge_id, "code": code, "request_id": str(uuid4()), "consents": CONSENTS}
    answer = await front.call("POST", "/v1/auth/sign-in:complete", proof)
    assert answer.status == 200
    return str(answer.json["tokens"]["access_token"])


async def test_a_person_signs_in_changes_her_name_and_reads_it(front: Front) -> None:
    token = await signed_in(front, "+79991234567")
    changed = await front.call("PATCH", "/v1/users/me?update_mask=display_name", {"display_name": "Анна"}, token)
    assert changed.status == 200
    user = (await front.call("GET", "/v1/users/me", token=token)).json["user"]
    assert (user["display_name"], user["roles"], user["email"]) == ("Анна", ["ROLE_MEMBER"], "")


async def test_several_fields_of_a_mask_are_parted_by_commas(front: Front) -> None:
    token = await signed_in(front, "+79991234567")
    path = "/v1/users/me?update_mask=display_name,locale"
    changed = await front.call("PATCH", path, {"display_name": "Anna", "locale": "en"}, token)
    assert (changed.json["user"]["display_name"], changed.json["user"]["locale"]) == ("Anna", "en")


async def test_a_stale_etag_is_a_conflict_that_says_so(front: Front) -> None:
    token = await signed_in(front, "+79991234567")
    path = "/v1/users/me?update_mask=display_name"
    refused = await front.call("PATCH", path, {"display_name": "Анна", "etag": "0"}, token)
    assert (refused.status, refused.reason) == (409, "STALE_ETAG")


async def test_a_refusal_names_the_field_the_reason_and_the_text_to_show(front: Front) -> None:
    refused = await front.call("POST", "/v1/auth/sign-in:start", {"phone": "1"})
    assert (refused.status, refused.json["code"], refused.reason) == (400, 3, "INVALID_FIELDS")
    kinds = {part["@type"].rpartition(".")[2]: part for part in refused.json["details"]}
    assert [violation["field"] for violation in kinds["BadRequest"]["field_violations"]] == ["phone"]
    assert kinds["LocalizedMessage"]["locale"] == "ru"
    assert kinds["RequestInfo"]["request_id"] == refused.headers["x-request-id"][0]


async def test_whoever_asks_for_english_is_told_in_english(front: Front) -> None:
    refused = await curl(front.at("/v1/users/me"), "--header", "accept-language: en")
    [told] = [part for part in refused.json["details"] if part["@type"].endswith("LocalizedMessage")]
    assert (refused.status, refused.reason, told["message"]) == (401, "TOKEN_MISSING", "Please sign in.")


async def test_the_request_id_of_the_caller_is_kept(front: Front) -> None:
    answer = await curl(front.at("/v1/users/me"), "--header", "x-request-id: 4d1c2f9e-seen-by-her")
    assert answer.headers["x-request-id"] == ["4d1c2f9e-seen-by-her"]


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "reason"),
    [
        ("POST", "/v1/auth/sign-in:start", '{"phone":', 400, "INVALID_FIELDS"),
        ("POST", "/v1/auth/sign-in:start", '{"phone": {}}', 400, "INVALID_FIELDS"),
        ("GET", "/v1/users/me?colour=red", None, 400, "INVALID_FIELDS"),
        ("GET", "/v1/audit-events?from_time=yesterday", None, 400, "INVALID_FIELDS"),
        ("GET", "/v1/nothing", None, 404, "METHOD_UNKNOWN"),
        ("GET", "/metrics", None, 404, "METHOD_UNKNOWN"),
        ("GET", "/doctor", None, 404, "METHOD_UNKNOWN"),
        ("DELETE", "/v1/auth/sign-out", None, 404, "METHOD_UNKNOWN"),
        ("POST", "/svoykrug.users.v1.UsersService/GetMe", "{}", 404, "METHOD_UNKNOWN"),
    ],
)
async def test_what_the_gateway_itself_refuses_has_the_form_of_every_refusal(
    front: Front, verb: str, path: str, body: str | None, status: int, reason: str
) -> None:
    sent = ("--json", body) if body is not None else ()
    refused = await curl(front.at(path), "--request", verb, *sent)
    assert (refused.status, refused.reason, refused.headers["content-type"]) == (status, reason, ["application/json"])


async def test_a_stream_is_one_json_value_a_line(front: Front) -> None:
    token = await signed_in(front, "+79991234567")
    answer = await front.call("POST", "/v1/users/me:export", token=token)
    tables = {row["table"] for line in answer.lines for row in line["rows"]}
    assert {"users", "audit_events"} <= tables
    assert answer.headers["content-type"] == ["application/x-ndjson"]


async def test_a_refused_stream_is_one_json_value(front: Front) -> None:
    refused = await front.call("POST", "/v1/users/me:export")
    assert (refused.status, refused.reason) == (401, "TOKEN_MISSING")
    assert refused.headers["content-type"] == ["application/json"]


async def test_a_refusal_is_as_the_openapi_document_says(front: Front) -> None:
    document = (await front.call("GET", "/openapi.json")).json

    def fits(answer: Answer, verb: str, status: int) -> bool:
        told = document["paths"]["/v1/users/me"][verb]["responses"][str(status)]
        if "$ref" in told:
            told = document["components"]["responses"][told["$ref"].rpartition("/")[2]]
        schema = {**told["content"]["application/json"]["schema"], "components": document["components"]}
        return bool(OAS31Validator(schema).is_valid(answer.json))

    token = await signed_in(front, "+79991234567")
    changed = {"email": "not an address"}
    unknown = await front.call("GET", "/v1/users/me")
    wrong = await front.call("PATCH", "/v1/users/me?update_mask=email", changed, token)
    assert (unknown.status, wrong.status) == (401, 400)
    assert fits(unknown, "get", 401)
    assert fits(wrong, "patch", 400)
    assert not fits(unknown, "get", 403)
    assert not fits(wrong, "patch", 409)


async def test_a_filter_of_times_and_enums_is_read_from_the_query(front: Front) -> None:
    token = await signed_in(front, "+79991234567")
    refused = await front.call("GET", "/v1/operations?states=OPERATION_STATE_RUNNING&page_size=-1", token=token)
    assert refused.reason == "INVALID_FIELDS"
    answer = await front.call("GET", "/v1/operations?states=OPERATION_STATE_RUNNING&states=1&page_size=1", token=token)
    assert answer.json == {"operations": [], "next_page_token": ""}


async def test_the_published_keys_verify_a_token_in_a_library_that_nobody_here_wrote(front: Front) -> None:
    token = await signed_in(front, "+79991234567")
    published = await front.call("GET", "/.well-known/jwks.json")
    assert published.headers["cache-control"] == ["public, max-age=300"]
    keys = jwt.PyJWKSet.from_dict(published.json)
    key = keys[str(jwt.get_unverified_header(token)["kid"])]
    options: jwt.types.Options = {"verify_aud": False}
    claims = jwt.decode(token, key, algorithms=["ES256"], options=options)
    me = await front.call("GET", "/v1/users/me", token=token)
    assert claims["sub"] == me.json["user"]["id"]
    assert all("" not in key.values() for key in published.json["keys"])


async def test_bytes_travel_as_base64_and_numbers_of_64_bits_as_text(front: Front) -> None:
    token = await signed_in(front, "+79991234567")
    chunk = base64.b64encode(b"phone;amount\n").decode()
    path = f"/v1/businesses/{uuid4()}/csv-imports/{uuid4()}:upload"
    refused = await front.call("POST", path, {"offset_bytes": "0", "chunk": chunk}, token)
    assert (refused.status, refused.reason) == (403, "PERMISSION_DENIED")


def bindings() -> Iterator[tuple[Method, Binding]]:
    """Yield every way to call every method."""
    for method in Contract().methods:
        for binding in method.bindings:
            yield method, binding


async def test_every_path_of_the_contract_reaches_its_method(front: Front) -> None:
    asked = []
    with capture_logs() as logs:
        async with aiohttp.ClientSession(f"http://{front.gateway.address}") as session:
            for method, binding in bindings():
                path = binding.path
                for variable in binding.variables:
                    path = path.replace(f"{{{variable}}}", str(uuid4()))
                body = json.dumps({}) if binding.body else None
                async with session.request(binding.verb, path, data=body) as answer:
                    assert answer.status in {200, 400, 401, 403}, path
                asked.append(f"/{method.service}/{method.name}")
        # A call's line is written after its answer has gone out.
        await until(lambda: sum(event["event"] == "call" for event in logs) >= len(asked))
    assert [event["method"] for event in logs if event["event"] == "call"] == asked
