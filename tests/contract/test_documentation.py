"""The pages and the OpenAPI document tell of every method, and every example in them is right."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import protovalidate
import pytest
from api_examples import LANGUAGES, Examples
from contract import Contract, Method
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


def examples(contract: Contract) -> Iterator[tuple[Method, dict[str, Any]]]:
    """Yield each method with the request of its example."""
    made = Examples(contract)
    for method in contract.methods:
        yield method, made.of(method).request


def test_every_example_passes_the_rules_of_its_request(contract: Contract) -> None:
    validator = protovalidate.Validator()
    for method, request in examples(contract):
        package, _, service = method.service.rpartition(".")
        module = re.sub(r"(?<!^)(?=[A-Z])", "_", service).lower()
        kind = getattr(import_module(f"{package}.{module}_pb2"), method.request.rpartition(".")[2])
        assert validator.collect_violations(ParseDict(request, kind())) == [], method.name


def test_every_example_in_python_compiles(contract: Contract) -> None:
    made = Examples(contract)
    for method in contract.methods:
        compile(LANGUAGES["Python"](made.of(method), []), method.name, "exec")


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
