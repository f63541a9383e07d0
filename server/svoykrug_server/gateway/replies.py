"""What the gateway itself refuses, said to callers of JSON in the form in which the server says it.

Callers of gRPC and gRPC-Web are left to Envoy, which answers them with a status.
"""

from typing import Any

Json = dict[str, Any]
_UNSET = "unset"  # Envoy wants a key under which a runtime could change the status; no runtime is configured.


def local_replies() -> Json:
    """Returns Envoy's `local_reply_config`: one reply for each status that Envoy answers with by itself."""
    return {
        "mappers": [
            _reply(400, 3, "INVALID_FIELDS", "%LOCAL_REPLY_BODY%"),
            _reply(404, 12, "METHOD_UNKNOWN", "This method does not exist."),
            _reply(408, 4, "DEADLINE_EXCEEDED", "The request took too long."),
            _reply(413, 3, "INVALID_FIELDS", "The request is too large."),
            _reply(415, 3, "INVALID_FIELDS", "The body is not JSON."),
            _reply(429, 8, "OVERLOADED", "Too many requests at once. Please try again in a moment."),
            _reply(431, 3, "INVALID_FIELDS", "The headers are too large."),
            _reply(500, 13, "INTERNAL", "Something went wrong on our side."),
            _reply(502, 14, "STORE_UNAVAILABLE", "The service is briefly unavailable. Please try again."),
            _reply(503, 14, "STORE_UNAVAILABLE", "The service is briefly unavailable. Please try again."),
            _reply(504, 4, "DEADLINE_EXCEEDED", "The request took too long."),
        ]
    }


def _reply(status: int, code: int, reason: str, message: str) -> Json:
    """Returns the reply for one HTTP status.

    Args:
        status: The HTTP status.
        code: The number of the `google.rpc.Code` that belongs to it.
        reason: A name of `ErrorReason` without its prefix.
        message: What is said; `%LOCAL_REPLY_BODY%` for what Envoy found.
    """
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "svoykrug"}
    request = {"@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": "%REQ(X-REQUEST-ID)%"}
    status_filter = {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": _UNSET}}}
    return {
        "filter": {"and_filter": {"filters": [{"status_code_filter": status_filter}, _from_json()]}},
        "body_format_override": {
            "json_format": {"code": code, "message": message, "details": [info, request]},
            "content_type": "application/json",
        },
    }


def _from_json() -> Json:
    """Holds for a caller who does not speak gRPC, also once her request was turned into gRPC."""
    was_turned = {"name": "x-envoy-original-path", "present_match": True}
    speaks_grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    does_not = {**speaks_grpc, "invert_match": True, "treat_missing_header_as_empty": True}
    return {"or_filter": {"filters": [{"header_filter": {"header": header}} for header in (was_turned, does_not)]}}
