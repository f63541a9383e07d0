"""Where a request goes: to the servers, to a page of the documentation, or nowhere."""

import mimetypes
import re
from ipaddress import ip_address
from pathlib import Path

from svoykrug_server.config import Settings
from svoykrug_server.gateway.contract import SERVICES, stream_paths
from svoykrug_server.gateway.replies import Json

CLUSTER = "servers"
TRANSCODER = "json"
"""What the filter that turns JSON into protobuf is called; routes configure it by this name."""
WHOLE_BODIES = "whole_bodies"
"""What the filter that takes a body in, and refuses it when it is too large, is called; streams do without."""
LINES = "lines"
"""What the filter is called that says of a stream's answer that it is one JSON value a line."""
PAGES = Path(__file__).parent / "pages"
"""The documentation, as `make generate` made it."""
LARGEST_PAGE_BYTES = 16 * 1024 * 1024
_STANDARD = ("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_JWKS = "/.well-known/jwks.json"
_FROM_THIS_MACHINE = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"
_ALLOWED_HEADERS = (
    "accept-language", "authorization", "content-type", "grpc-timeout", "traceparent", "x-client-version", "x-grpc-web",
    "x-request-id", "x-user-agent",
)  # fmt: skip
_EXPOSED_HEADERS = ("grpc-message", "grpc-status", "grpc-status-details-bin", "x-request-id")
# A page may load its own script and style, and call this origin; nothing else, and nobody may frame it.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def routes(settings: Settings, jwks_filter: Json) -> Json:
    """Returns Envoy's `route_config`.

    Args:
        settings: Every setting.
        jwks_filter: How the published keys are written as JSON, which has rules of its own (RFC 7517).
    """
    jwks = {
        "match": {"path": _JWKS},
        "route": _to_servers(),
        "typed_per_filter_config": {TRANSCODER: jwks_filter},
        "response_headers_to_add": [_header("cache-control", f"public, max-age={settings.jwks_cache_seconds}")],
    }
    called = [
        {"match": {"prefix": f"/{service}/"}, "route": _to_servers(), **_without(WHOLE_BODIES)}
        for service in (*SERVICES, *_STANDARD)
    ]
    streams = [
        {"match": {"safe_regex": {"regex": path}}, "route": _to_servers(), "typed_per_filter_config": _as_lines()}
        for path in stream_paths()
    ]
    methods = {"match": {"prefix": "/v1/"}, "route": _to_servers()}
    pages = _pages() if settings.gateway_docs else []
    return {
        "name": "routes",
        "max_direct_response_body_size_bytes": LARGEST_PAGE_BYTES,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [_alive(), jwks, *streams, methods, *called, *pages],
                "typed_per_filter_config": {"cors": _cors(settings)},
            }
        ],
    }


def is_loopback(address: str) -> bool:
    """Tells whether an address, an IP address and a port, is reached from this machine only."""
    return ip_address(address.rpartition(":")[0].strip("[]")).is_loopback


def _to_servers() -> Json:
    """The servers keep the deadlines; Envoy also cuts off a call whose own deadline passed, should no server answer."""
    retry = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 3}
    limit = {"grpc_timeout_header_max": "0s"}
    return {"cluster": CLUSTER, "timeout": "0s", "max_stream_duration": limit, "retry_policy": retry}


def _alive() -> Json:
    """Says that the gateway lives; `/readyz` says whether a server behind it takes calls."""
    answer = {"status": 200, "body": {"inline_string": "alive\n"}}
    return {"match": {"path": "/healthz"}, "direct_response": answer, **_without(TRANSCODER)}


def _as_lines() -> Json:
    """Names the type of a stream in JSON; a refusal, which has another status, stays one JSON value."""
    kind = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
    value = "%CEL(response.headers[':status'] == '200' ? 'application/x-ndjson' : 'application/json')%"
    return {LINES: {"@type": kind, "mutations": {"response_mutations": [{"append": _header("content-type", value)}]}}}


def _cors(settings: Settings) -> Json:
    origins: list[Json] = [{"exact": origin} for origin in settings.gateway_origins]
    if is_loopback(settings.gateway_listen):
        origins.append({"safe_regex": {"regex": _FROM_THIS_MACHINE}})
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins,
        "allow_methods": "GET, POST, PUT, PATCH, DELETE",
        "allow_headers": ", ".join(_ALLOWED_HEADERS),
        "expose_headers": ", ".join(_EXPOSED_HEADERS),
        "max_age": "600",
        "forward_not_matching_preflights": False,
    }


def _pages() -> list[Json]:
    """Returns the routes of the documentation, each a file that Envoy keeps in memory."""
    files = sorted(path for path in PAGES.rglob("*") if path.is_file())
    found = [_page(path, f"/{path.relative_to(PAGES).as_posix()}") for path in files]
    return [*found, _redirect("/"), _redirect("/docs")]


def _page(path: Path, address: str) -> Json:
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if content_type.startswith("text/") else ""
    headers = {
        "content-type": content_type + charset,
        "content-security-policy": _PAGE_POLICY,
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }
    return {
        # A folder is shown by its index.
        "match": {"path": re.sub(r"index\.html$", "", address)},
        "direct_response": {"status": 200, "body": {"filename": str(path.resolve())}},
        "response_headers_to_add": [_header(name, value) for name, value in headers.items()],
        **_without(TRANSCODER),
    }


def _redirect(address: str) -> Json:
    there = {"path_redirect": "/docs/", "response_code": "FOUND"}
    return {"match": {"path": address}, "redirect": there, **_without(TRANSCODER)}


def _without(name: str) -> Json:
    """Returns what makes a route pass a filter by."""
    disabled = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}, "disabled": True}
    return {"typed_per_filter_config": {name: disabled}}


def _header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
