"""Write the pages of `/docs`: every service, method, message, field and error, with examples to copy and to try.

Why this exists: a person who has never seen a proto must be able to call every method. The pages are plain HTML, a
style sheet and a script of ours; they load nothing from anywhere else.
"""

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path

from api_examples import Examples, at_gateway
from api_languages import LANGUAGES
from api_markup import link, page, prose
from api_schema import Schemas
from contract import Contract, Method
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor import FieldDescriptor as Kind

ASSETS = Path(__file__).resolve().parent / "pages"
_REASON = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
_METHOD = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")
_SCALARS = {
    Kind.TYPE_BOOL: "bool", Kind.TYPE_BYTES: "bytes", Kind.TYPE_DOUBLE: "double", Kind.TYPE_FLOAT: "float",
    Kind.TYPE_INT32: "int32", Kind.TYPE_INT64: "int64", Kind.TYPE_STRING: "string", Kind.TYPE_UINT32: "uint32",
    Kind.TYPE_UINT64: "uint64",
}  # fmt: skip


class Pages:
    """The pages of one contract.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._schemas = Schemas(contract)
        self._examples = Examples(contract)
        self._homes = {method.name: f"{_short(method.service)}.html#{method.name}" for method in contract.methods}
        self._reasons = {reason.name for reason in contract.reasons}
        methods = groupby(contract.methods, key=lambda method: method.service)
        self._services = {service: list(group) for service, group in methods}

    def render(self) -> dict[str, str]:
        """Return path -> text of every page, script and style sheet."""
        services = {f"{_short(service)}.html": self._service(service) for service in self._services}
        assets = {path.name: path.read_text("utf-8") for path in ASSETS.iterdir() if path.suffix in {".css", ".js"}}
        return {
            "index.html": self._page("The API", self._index()),
            "types.html": self._page("Types", self._types()),
            "errors.html": self._page("Errors", self._errors()),
            **services,
            **assets,
        }

    def _page(self, title: str, body: str) -> str:
        services = [(_short(service), _short(service).removesuffix("Service")) for service in self._services]
        links = [
            link(f"{name}.html", text, is_here=title in {name, text})
            for name, text in [*services, ("types", "Types"), ("errors", "Errors")]
        ]
        return page(title, " ".join(links), body)

    def _prose(self, text: str) -> str:
        def link_words(piece: str) -> str:
            linked = _REASON.sub(lambda found: self._reason_link(found[0]), piece)
            return _METHOD.sub(lambda found: self._method_link(found[0]), linked)

        return prose(text, link_words)

    def _reason_link(self, name: str) -> str:
        return link(f"errors.html#{name}", name) if name in self._reasons else name

    def _method_link(self, name: str) -> str:
        return link(self._homes[name], name) if name in self._homes else name

    def _index(self) -> str:
        start = "".join((ASSETS / name).read_text("utf-8") for name in ("start.html", "sign_in.html"))
        parts = [
            "<h1>The API</h1>",
            '<label class="search">Find a method <input type="search" id="search"></label>',
            f'<div class="start">{start}</div>',
        ]
        for service, methods in self._services.items():
            head = link(f"{_short(service)}.html", _short(service))
            parts.append(f'<section class="list"><h2>{head}</h2>{self._prose(self._schemas.comments[service])}<ul>')
            parts += [self._entry(method) for method in methods]
            parts.append("</ul></section>")
        return "\n".join(parts)

    def _entry(self, method: Method) -> str:
        summary = method.comment.partition(".")[0].replace("\n", " ")
        address = f'<span class="addresses">{_address(method)}</span>'
        return f"<li>{self._method_link(method.name)}{address}<span>{escape(summary)}.</span></li>"

    def _service(self, service: str) -> str:
        head = f"<h1>{_short(service)}</h1><p><code>{service}</code></p>{self._prose(self._schemas.comments[service])}"
        names = _contents((method.name, method.name) for method in self._services[service])
        sections = "\n".join(self._method(method) for method in self._services[service])
        return self._page(_short(service), f"{head}{names}\n{sections}")

    def _method(self, method: Method) -> str:
        streams = {(False, True): "server stream", (True, False): "client stream"}
        marks = " ".join(f'<span class="mark">{word}</span>' for word in _marks(method, streams))
        return "\n".join(
            [
                f'<section class="method" id="{method.name}">',
                f"<h2>{link(f'#{method.name}', method.name)} {marks}</h2>",
                f'<p class="addresses">{_address(method)}</p>',
                self._prose(method.comment),
                f"<h3>Request</h3>{self._fields(self._schemas.message(method.request))}",
                f"<h3>Response</h3>{self._fields(self._schemas.message(method.response))}",
                self._calls(method),
                self._trial(method),
                "</section>",
            ]
        )

    def _calls(self, method: Method) -> str:
        """Return the example call in each language, one shown at a time."""
        texts = {name: show(self._examples.of(method)) for name, show in LANGUAGES.items()}
        panels = [
            f'<div class="panel" data-language="{name}"><h4>{name}</h4><pre><code>{escape(text)}</code></pre></div>'
            for name, text in texts.items()
            if text
        ]
        return f'<h3>Example</h3><div class="calls">{"".join(panels)}</div>'

    def _trial(self, method: Method) -> str:
        """Return the form that sends the example to this server, where HTTP can carry it."""
        if not method.bindings:
            return "<p>A stream of the caller's cannot be sent over HTTP with JSON: use a client.</p>"
        binding = method.bindings[0]
        address, body = at_gateway(self._examples.of(method))
        text = "" if body is None else json.dumps(body, ensure_ascii=False, indent=2)
        rows = text.count("\n") + 2
        box = f'<textarea rows="{rows}" spellcheck="false">{escape(text)}</textarea>'
        area = "" if body is None else f"<label>Body {box}</label>"
        return (
            f'<details class="trial"><summary>Try it</summary><form data-verb="{binding.verb}">'
            f'<label>{binding.verb} <input name="address" value="{escape(address)}" spellcheck="false"></label>{area}'
            '<button type="submit">Send</button> <button type="button" class="stop" hidden>Stop</button></form>'
            '<pre class="answer" hidden></pre></details>'
        )

    def _fields(self, message: Descriptor) -> str:
        if not message.fields:
            return "<p>Nothing.</p>"
        return f'<dl class="fields">{"".join(map(self._field, message.fields))}</dl>'

    def _field(self, field: FieldDescriptor) -> str:
        group = field.containing_oneof
        one_of = f" <em>one of {group.name}</em>" if group is not None and len(group.fields) > 1 else ""
        name = f"<dt><code>{field.name}</code> {_type(field)}{one_of}</dt>"
        return f"{name}<dd>{self._prose(self._schemas.comments.get(field.full_name, ''))}</dd>"

    def _types(self) -> str:
        own = {name for method in self._contract.methods for name in (method.request, method.response)}
        kinds = self._schemas.reachable(iter(sorted(own)))
        shown = [kind for kind in kinds if kind.full_name not in own]
        names = _contents((kind.full_name, kind.name) for kind in shown)
        sections = "\n".join(map(self._type, shown))
        about = "<p>What requests and responses are made of, besides their own fields.</p>"
        return f"<h1>Types</h1>{about}{names}{sections}"

    def _type(self, kind: Descriptor | EnumDescriptor) -> str:
        comments = self._schemas.comments
        head = f'<section class="type" id="{kind.full_name}"><h2>{link(f"#{kind.full_name}", kind.name)}</h2>'
        about = f"<p><code>{kind.full_name}</code></p>{self._prose(comments.get(kind.full_name, ''))}"
        if isinstance(kind, Descriptor):
            return f"{head}{about}{self._fields(kind)}</section>"
        values = "".join(self._value(kind, name) for name in kind.values_by_name)
        return f'{head}{about}<dl class="fields">{values}</dl></section>'

    def _value(self, kind: EnumDescriptor, name: str) -> str:
        comment = self._schemas.comments.get(f"{kind.full_name}.{name}", "")
        return f"<dt><code>{name}</code></dt><dd>{self._prose(comment)}</dd>"

    def _errors(self) -> str:
        names = _contents((reason.name, reason.name) for reason in self._contract.reasons)
        about = (ASSETS / "errors.html").read_text("utf-8")
        return f"<h1>Errors</h1>{about}{names}" + "\n".join(self._reasons_shown())

    def _reasons_shown(self) -> Iterator[str]:
        for reason in self._contract.reasons:
            again = '<span class="mark">again</span>' if reason.retryable else ""
            yield (
                f'<section class="type" id="{reason.name}"><h2>{link(f"#{reason.name}", reason.name)} {again}</h2>'
                f"<p><code>{reason.code}</code></p>{self._prose(reason.comment)}"
                f'<p>{escape(reason.text_en)}<br><span lang="ru">{escape(reason.text_ru)}</span></p></section>'
            )


def _contents(places: Iterable[tuple[str, str]]) -> str:
    """Return links to the places of a page: the anchor and the name of each."""
    return f'<p class="contents">{" ".join(link(f"#{anchor}", name) for anchor, name in places)}</p>'


def _short(service: str) -> str:
    return service.rpartition(".")[2]


def _marks(method: Method, streams: dict[tuple[bool, bool], str]) -> Iterator[str]:
    stream = streams.get((method.client_streaming, method.server_streaming))
    if stream:
        yield stream
    if method.read_only:
        yield "read only"
    yield from (caller.lower().replace("_", " ") for caller in method.callers)
    if method.scope:
        yield f"scope {method.scope}"


def _address(method: Method) -> str:
    return "<br>".join(
        f'<code class="address"><b>{binding.verb}</b> {escape(binding.path)}</code>' for binding in method.bindings
    )


def _type(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    if kind is None:
        shown = escape(_SCALARS[field.type])
    elif kind.full_name.startswith("google.protobuf."):
        shown = escape(kind.name)
    else:
        shown = link(f"types.html#{kind.full_name}", kind.name)
    return f'<span class="kind">{"repeated " if field.is_repeated else ""}{shown}</span>'
