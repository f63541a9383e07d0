"""The pages and the OpenAPI document tell of every method, and every example in them is right."""

import ast
import json
import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import protovalidate
import pytest
from api_examples import Example, Examples, snake
from api_languages import LANGUAGES
from contract import COMMON_REASONS, Contract, Method
from google.protobuf.json_format import ParseDict
from openapi_spec_validator import OpenAPIV31SpecValidator

GENERATED = Path(__file__).resolve().parents[2] / "generated" / "gateway"
DOCS = GENERATED / "docs"


class Page(HTMLParser):
    """What a page holds: its anchors, links and whatever it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found["id"]} if "id" in found else set()
        self.links += [found["href"]] if tag == "a" else []
        self.loaded += [found[name] for name in ("src", "href") if tag in {"script", "link", "img"} and name in found]
        self.inline += [name for name in found if name == "style" or name.startswith("on")]


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    """Every page by its name."""
    return {path.name: Page(path) for path in DOCS.glob("*.html")}


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    document: dict[str, Any] = json.loads((GENERATED / "openapi.json").read_text("utf-8"))
    return document


def home(method: Method) -> str:
    return f"{method.service.rpartition('.')[2]}.html"


def test_every_method_has_its_place_and_is_found_from_the_first_page(
    contract: Contract, pages: dict[str, Page]
) -> None:
    told = [method for method in contract.methods if method.name in pages[home(method)].anchors]
    assert len(told) == len(contract.methods) > 90
    assert {f"{home(method)}#{method.name}" for method in contract.methods} <= set(pages["index.html"].links)


def test_every_field_of_every_request_and_response_is_told_of(contract: Contract) -> None:
    for method in contract.methods:
        section = (DOCS / home(method)).read_text("utf-8").partition(f'<section class="method" id="{method.name}">')[2]
        section = section.partition("</section>")[0]
        for message in (method.request, method.response):
            for field in contract.pool.FindMessageTypeByName(message).fields:
                assert f"<dt><code>{field.name}</code>" in section, f"{method.name}: {field.full_name}"


def test_every_method_says_who_may_call_and_shows_a_call_in_every_language(contract: Contract) -> None:
    for method in contract.methods:
        section = (DOCS / home(method)).read_text("utf-8").partition(f'<section class="method" id="{method.name}">')[2]
        section = section.partition("</section>")[0]
        assert "<strong>Callers:</strong>" in section, method.name
        languages = re.findall(r'data-language="([^"]+)"', section)
        assert languages == [name for name in LANGUAGES if method.bindings or name != "curl"], method.name


def test_every_reason_has_its_place(contract: Contract, pages: dict[str, Page]) -> None:
    assert {reason.name for reason in contract.reasons} <= pages["errors.html"].anchors


def test_every_link_leads_somewhere(pages: dict[str, Page]) -> None:
    for name, shown in pages.items():
        for target in shown.links:
            page, _, anchor = target.partition("#")
            if target == "/openapi.json":
                continue
            there = pages[{"": name, "./": "index.html"}.get(page, page)]
            assert not anchor or anchor in there.anchors, f"{name}: {target}"


def test_a_page_loads_its_own_style_and_script_and_nothing_else(pages: dict[str, Page]) -> None:
    for name, shown in pages.items():
        assert set(shown.loaded) == {"style.css", "docs.js", "data:,"}, name
        assert shown.inline == [], name
    texts = [path.read_text("utf-8") for path in DOCS.iterdir() if path.suffix in {".css", ".js"}]
    assert not any(re.search(r"url\(|@import|import\(", text) for text in texts)


def parsed(example: Example) -> Any:
    """Return the request of an example as a message."""
    package, _, service = example.method.service.rpartition(".")
    kind = getattr(import_module(f"{package}.{snake(service)}_pb2"), example.kind.name)
    return ParseDict(example.request, kind())


def test_every_example_passes_the_rules_of_its_request(contract: Contract) -> None:
    validator, examples = protovalidate.Validator(), Examples(contract)
    for method in contract.methods:
        assert validator.collect_violations(parsed(examples.of(method))) == [], method.name


def test_every_example_in_python_makes_the_request_that_the_json_says(contract: Contract) -> None:
    examples = Examples(contract)
    for method in contract.methods:
        program = ast.parse(LANGUAGES["Python"](examples.of(method)))
        *definitions, _ = program.body
        names: dict[str, Any] = {}
        exec(compile(ast.Module(definitions, []), method.name, "exec"), names)  # noqa: S102  # our own documentation
        [made] = [node.value for node in ast.walk(program) if isinstance(node, ast.Assign) and is_request(node)]
        request = eval(compile(ast.Expression(made), method.name, "eval"), names)  # noqa: S307  # as above
        assert request == parsed(examples.of(method)), method.name


def is_request(node: ast.Assign) -> bool:
    """Tells whether a statement makes the request."""
    return [target.id for target in node.targets if isinstance(target, ast.Name)] == ["request"]


def test_a_validator_that_nobody_here_wrote_accepts_the_openapi_document(openapi: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(openapi).iter_errors()] == []


def test_the_openapi_document_has_every_binding_of_every_method(contract: Contract, openapi: dict[str, Any]) -> None:
    told = {(verb.upper(), path) for path, operations in openapi["paths"].items() for verb in operations}
    assert told == {(binding.verb, binding.path) for method in contract.methods for binding in method.bindings}


def test_public_methods_alone_need_no_token(contract: Contract, openapi: dict[str, Any]) -> None:
    for method in contract.methods:
        for binding in method.bindings:
            operation = openapi["paths"][binding.path][binding.verb.lower()]
            assert (operation["security"] == []) == ("PUBLIC" in method.callers), method.name


def test_a_stream_has_the_content_type_of_lines_and_every_other_answer_that_of_json(
    contract: Contract, openapi: dict[str, Any]
) -> None:
    for method in contract.methods:
        for binding in method.bindings:
            responses = openapi["paths"][binding.path][binding.verb.lower()]["responses"]
            kind = "application/x-ndjson" if method.server_streaming else "application/json"
            assert list(responses["200"]["content"]) == [kind], method.name


def reasons(response: dict[str, Any], openapi: dict[str, Any]) -> set[str]:
    """Returns the reasons that a response of the document may have."""
    if "$ref" in response:
        response = openapi["components"]["responses"][response["$ref"].rpartition("/")[2]]
    _, own = response["content"]["application/json"]["schema"]["allOf"]
    return set(own["properties"]["details"]["contains"]["properties"]["reason"]["enum"])


def test_every_error_that_a_method_names_stands_under_its_status(contract: Contract, openapi: dict[str, Any]) -> None:
    codes = {reason.name: reason.code for reason in contract.reasons}
    of_status: dict[str, set[str]] = {}
    for method in contract.methods:
        told: set[str] = set()
        for binding in method.bindings:
            responses = openapi["paths"][binding.path][binding.verb.lower()]["responses"]
            for status in responses.keys() - {"200", "default"}:
                found = reasons(responses[status], openapi)
                of_status.setdefault(status, set()).update(codes[name] for name in found)
                told |= found
        named = set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", method.errors.partition("; of ")[0]))
        assert not method.bindings or told == named | set(COMMON_REASONS), method.name
    assert of_status["401"] == {"UNAUTHENTICATED"}
    assert of_status["409"] == {"ABORTED", "ALREADY_EXISTS"}
    assert of_status["404"] == {"NOT_FOUND"}
