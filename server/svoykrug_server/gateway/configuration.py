"""Everything that Envoy reads, made from our settings: one listener, the servers behind it, and limits for both.

The names are Envoy's own; its documentation explains each. Times are its durations, in seconds.
"""

import math
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from svoykrug_server.config import Settings
from svoykrug_server.gateway.contract import SERVICES, descriptor_set
from svoykrug_server.gateway.replies import Json, local_replies
from svoykrug_server.gateway.routes import CLUSTER, LINES, TRANSCODER, WHOLE_BODIES, routes

ADMIN_SOCKET = "admin.sock"
CERTIFICATE_FILE = "certificate.json"
CERTIFICATE = "listener"
"""What the listener's certificate is called."""
HEADERS_SECONDS = 10
"""How long a caller may take to send her headers."""
IDLE_CONNECTION_SECONDS = 600
"""How long a connection without calls is kept."""
HEALTH_SECONDS = 2
"""How often each server is asked whether it takes calls."""
JSON_GROWTH = 2
"""How many times larger than its protobuf a request may be as JSON: names and base64 take room. Answers: twice that."""
_TYPES = "type.googleapis.com/envoy"
_UNIX = "unix:"
_ANY_NUMBER = 1_000_000
"""For limits that the servers keep themselves, and better."""


def configuration(settings: Settings, servers: tuple[str, ...], port: int, folder: Path) -> Json:
    """Returns Envoy's bootstrap configuration.

    Args:
        settings: Every setting.
        servers: The servers to call, `host:port` each.
        port: Where to listen, at the host that the settings name.
        folder: Where Envoy is asked and drained, and where it reads its certificate.
    """
    return {
        "node": {"id": "gateway", "cluster": "svoykrug"},
        "admin": {"address": {"pipe": {"path": str(folder / ADMIN_SOCKET), "mode": 0o600}}},
        "static_resources": {
            "listeners": [_listener(settings, port, folder)],
            "clusters": [_cluster(settings, servers)],
        },
        "overload_manager": {"resource_monitors": [_connection_limit(settings.gateway_max_connections)]},
    }


def certificate(chain: Path, key: Path) -> Json:
    """Returns what Envoy reads its certificate from; with other names in it, Envoy reads the files again."""
    secret = {
        "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.Secret",
        "name": CERTIFICATE,
        "tls_certificate": {"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(key)}},
    }
    return {"resources": [secret]}


def _connection_limit(connections: int) -> Json:
    name = "envoy.resource_monitors.global_downstream_max_connections"
    kind = "downstream_connections.v3.DownstreamConnectionsConfig"
    limit = {"@type": f"{_TYPES}.extensions.resource_monitors.{kind}", "max_active_downstream_connections": connections}
    return {"name": name, "typed_config": limit}


def _listener(settings: Settings, port: int, folder: Path) -> Json:
    manager = {"name": "http", "typed_config": _connection_manager(settings)}
    chain: dict[str, Any] = {"filters": [manager]}
    if settings.gateway_tls_certificate is not None:
        chain["transport_socket"] = _downstream_tls(folder)
    host = settings.gateway_listen.rpartition(":")[0].strip("[]")
    return {
        "name": "gateway",
        "address": _socket(host, port),
        # A second gateway on the same port must fail, and not share it.
        "enable_reuse_port": False,
        "filter_chains": [chain],
        "per_connection_buffer_limit_bytes": 2 * JSON_GROWTH * settings.max_message_bytes,
    }


def _connection_manager(settings: Settings) -> Json:
    return {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "AUTO",
        "server_name": "svoykrug",
        # The caller's address is the connection's, or what so many proxies of ours say of it.
        "use_remote_address": True,
        "xff_num_trusted_hops": settings.gateway_trusted_hops,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_headers_timeout": f"{HEADERS_SECONDS}s",
        "stream_idle_timeout": f"{settings.gateway_stream_idle_seconds}s",
        "max_request_headers_kb": math.ceil(settings.max_metadata_bytes / 1024),
        "common_http_protocol_options": {
            "idle_timeout": f"{IDLE_CONNECTION_SECONDS}s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": settings.gateway_max_streams,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "local_reply_config": local_replies(),
        "route_config": routes(settings, _transcoder(settings, for_keys=True)),
        "http_filters": _http_filters(settings),
    }


def _http_filters(settings: Settings) -> list[Json]:
    """Returns the steps of each request, in order."""
    prefix = f"{_TYPES}.extensions.filters.http"
    readiness = {
        "@type": f"{prefix}.health_check.v3.HealthCheck",
        "pass_through_mode": False,
        "headers": [{"name": ":path", "string_match": {"exact": "/readyz"}}],
        "cluster_min_healthy_percentages": {CLUSTER: {"value": 1}},
    }
    return [
        {"name": "cors", "typed_config": {"@type": f"{prefix}.cors.v3.Cors"}},
        {"name": "readyz", "typed_config": readiness},
        {"name": "grpc_web", "typed_config": {"@type": f"{prefix}.grpc_web.v3.GrpcWeb"}},
        {
            "name": WHOLE_BODIES,
            "typed_config": {
                "@type": f"{prefix}.buffer.v3.Buffer",
                "max_request_bytes": JSON_GROWTH * settings.max_message_bytes,
            },
        },
        # It comes after the transcoder: what is answered passes the steps from the last to the first.
        {"name": LINES, "typed_config": {"@type": f"{prefix}.header_mutation.v3.HeaderMutation"}},
        {"name": TRANSCODER, "typed_config": _transcoder(settings)},
        {"name": "router", "typed_config": {"@type": f"{prefix}.router.v3.Router", "suppress_envoy_headers": True}},
    ]


def _transcoder(settings: Settings, *, for_keys: bool = False) -> Json:
    """Returns how JSON becomes protobuf and back: names as in the protos, defaults written out, streams line by line.

    Args:
        settings: Every setting.
        for_keys: Whether it is for the published keys: a key must not have the fields of another kind of key, empty.
    """
    return {
        "@type": f"{_TYPES}.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor_bin": descriptor_set(),
        "services": list(SERVICES),
        "convert_grpc_status": True,
        "match_incoming_request_route": True,
        "max_request_body_size": JSON_GROWTH * settings.max_message_bytes,
        "max_response_body_size": 2 * JSON_GROWTH * settings.max_message_bytes,
        "print_options": {
            "preserve_proto_field_names": True,
            "always_print_primitive_fields": not for_keys,
            "stream_newline_delimited": True,
        },
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }


def _cluster(settings: Settings, servers: tuple[str, ...]) -> Json:
    endpoints = [{"endpoint": {"address": _of_server(server)}} for server in servers]
    keepalive = {"interval": "30s", "timeout": "10s"}
    cluster = {
        "name": CLUSTER,
        "type": "STRICT_DNS" if any(map(_has_name, servers)) else "STATIC",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
            }
        },
        "per_connection_buffer_limit_bytes": 2 * JSON_GROWTH * settings.max_message_bytes,
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": _ANY_NUMBER, "max_pending_requests": _ANY_NUMBER, "max_requests": _ANY_NUMBER}
            ]
        },
        # A server that says NOT_SERVING, because it stops, gets no new calls while another one serves.
        "health_checks": [
            {
                "timeout": f"{HEALTH_SECONDS}s",
                "interval": f"{HEALTH_SECONDS}s",
                "no_traffic_interval": f"{HEALTH_SECONDS}s",
                "unhealthy_interval": "0.5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
    }
    if settings.gateway_server_authorities is not None:
        host = _divided(servers[0])[0]
        cluster["transport_socket"] = _upstream_tls(host, settings.gateway_server_authorities)
    return cluster


def _downstream_tls(folder: Path) -> Json:
    source = {"path_config_source": {"path": str(folder / CERTIFICATE_FILE)}, "resource_api_version": "V3"}
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [{"name": CERTIFICATE, "sds_config": source}],
            },
        },
    }


def _upstream_tls(host: str, authorities: Path) -> Json:
    """The servers must show a certificate for the host by which the first of them is named."""
    names = [{"san_type": kind, "matcher": {"exact": host}} for kind in ("DNS", "IP_ADDRESS")]
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "validation_context": {
                    "trusted_ca": {"filename": str(authorities)},
                    "match_typed_subject_alt_names": names,
                },
            },
        },
    }


def _of_server(address: str) -> Json:
    """Returns where a server listens, on a port or on a Unix socket."""
    if address.startswith(_UNIX):
        return {"pipe": {"path": address.removeprefix(_UNIX)}}
    return _socket(*_divided(address))


def _has_name(address: str) -> bool:
    """Tells whether an address must be looked up, again and again: a name leads to many servers, later to others."""
    if address.startswith(_UNIX):
        return False
    try:
        ip_address(_divided(address)[0])
    except ValueError:
        return True
    return False


def _divided(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _socket(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}
