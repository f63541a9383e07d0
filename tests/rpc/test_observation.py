"""What is seen of calls from outside: log lines, metrics, traces, and the HTTP port."""

import asyncio
import io
import json
import logging
import urllib.error
import urllib.request
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from prometheus_client import CollectorRegistry, Gauge

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.rpc.logs import configure_logging, safe_traceback
from svoykrug_server.rpc.observability import Observability
from tests.callers import person
from tests.rpc.conftest import LogLines, StartEdge, TokenTable
from tests.rpc.probe import SERVICE, ProbeRequest
from tests.rpc.test_interceptor import refused
from tests.waiting import until

PHONE, NAME, EMAIL = "+79991234567", "Анна Каренина", "anna@example.com"


async def test_a_call_is_one_line_with_method_code_reason_time_caller_and_request_id(
    log_lines: LogLines, start_edge: StartEdge, tokens: TokenTable
) -> None:
    edge = await start_edge()
    caller = person()
    sent = (*tokens.sign_in(caller), ("x-request-id", "0123456789abcdef"))
    await edge.stub.Mine(ProbeRequest(), metadata=sent)
    await refused(edge.stub.Reign(ProbeRequest(), metadata=sent))
    # The line is written after the answer.
    await until(lambda: sum(event["event"] == "call" for event in log_lines.events) == 2)
    good, bad = [event for event in log_lines.events if event["event"] == "call"]
    assert good["method"] == f"/{SERVICE}/Mine"
    assert (good["code"], good["caller"], good["level"]) == ("OK", str(caller.subject_id), "info")
    assert good["request_id"] == "0123456789abcdef"
    assert good["ms"] >= 0
    assert "reason" not in good
    assert (bad["code"], bad["reason"]) == ("PERMISSION_DENIED", "PERMISSION_DENIED")


async def test_no_line_of_the_log_holds_personal_data(
    log_lines: LogLines, start_edge: StartEdge, tokens: TokenTable
) -> None:
    async def fail(request: Any, context: Any) -> Any:
        try:
            raise ValueError(f'duplicate key: Key (phone)=({PHONE}) exists, name "{NAME}" of {EMAIL}')
        except ValueError as error:
            raise RuntimeError(f"[parameters: ('{NAME}', '{PHONE}')]") from error

    edge = await start_edge({"Echo": fail})
    caller = person()
    metadata = (*tokens.sign_in(caller), ("x-request-id", PHONE), ("x-forwarded-for", "203.0.113.9"))
    await refused(edge.stub.Echo(ProbeRequest(business_id=PHONE), metadata=metadata))
    await refused(edge.stub.Echo(ProbeRequest(text=f"{NAME} {PHONE}"), metadata=metadata))
    await until(lambda: sum(event["event"] == "call" for event in log_lines.events) == 2)
    assert "RuntimeError: ***" in log_lines.text
    assert "caused by ValueError: duplicate key: Key (phone)***" in log_lines.text
    assert "test_observation.py" in log_lines.text
    for value in (PHONE, PHONE[1:], NAME, "Анна", EMAIL, caller.token_id, "203.0.113.9", "127.0.0.1"):
        assert value not in log_lines.text


def test_what_other_libraries_log_is_json_too_and_stripped() -> None:
    stream = io.StringIO()
    configure_logging(human=False, stream=stream)
    try:
        logging.getLogger("somebody").warning("went wrong")
        logging.getLogger("urllib3.connectionpool").warning("Retrying: our own line says what is away")
        structlog.get_logger().info("said", number=1)
    finally:
        structlog.reset_defaults()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["event"] == "went wrong"
    assert (second["event"], second["number"]) == ("said", 1)


def test_a_traceback_ends_although_its_causes_form_a_circle() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert safe_traceback(first).count("RuntimeError") == 2


async def test_metrics_count_calls_by_code_and_reason_and_messages(start_edge: StartEdge) -> None:
    edge = await start_edge()
    await edge.stub.Echo(ProbeRequest())
    await edge.stub.Echo(ProbeRequest())
    await refused(edge.stub.Echo(ProbeRequest(text="much too long for it")))
    _ = [answer async for answer in edge.stub.Count(ProbeRequest())]
    echo = f'rpc_method="Echo",rpc_service="{SERVICE}"'
    # A caller has her answer a moment before the server counts it.
    await until(lambda: f"rpc_server_active_requests{{{echo}}} 0.0" in edge.metrics())
    text = edge.metrics()
    code = 'rpc_grpc_status_code="{}",rpc_method="Echo"'
    assert f"rpc_server_duration_seconds_count{{{code.format('OK')}" in text
    assert f"rpc_server_duration_seconds_count{{{code.format('INVALID_ARGUMENT')}" in text
    assert f'rpc_server_errors_total{{reason="INVALID_FIELDS",{echo}}} 1.0' in text
    assert f'rpc_server_messages_sent_total{{rpc_method="Count",rpc_service="{SERVICE}"}} 3.0' in text
    assert f"rpc_server_active_requests{{{echo}}} 0.0" in text


async def test_methods_nobody_registered_share_one_name_in_the_metrics(start_edge: StartEdge) -> None:
    edge = await start_edge()
    for number in range(3):
        unknown: Any = edge.stub.channel.unary_unary(f"/made.up.Service{number}/Method")
        await refused(unknown(b""))
    # A caller has her answer a moment before the server counts it.
    counted = 'rpc_server_errors_total{reason="METHOD_UNKNOWN",rpc_method="unknown",rpc_service="unknown"} 3.0'
    await until(lambda: counted in edge.metrics())
    assert "made.up" not in edge.metrics()


async def test_a_call_goes_on_in_the_callers_trace(start_edge: StartEdge) -> None:
    seen = []

    async def look(request: Any, context: Any) -> Any:
        seen.append(trace.get_current_span().get_span_context())
        return request

    edge = await start_edge({"Echo": look})
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await edge.stub.Echo(ProbeRequest(), metadata=(("traceparent", traceparent),))
    await edge.stub.Echo(ProbeRequest(), metadata=(("traceparent", "nonsense"),))
    await edge.stub.Echo(ProbeRequest())
    assert f"{seen[0].trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert not seen[1].is_valid
    assert not seen[2].is_valid


async def get(port: int, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def test_the_http_port_tells_metrics_health_readiness_and_what_the_doctor_asks() -> None:
    registry = CollectorRegistry()
    Gauge("lag_seconds", "How far behind.", registry=registry).set(1.5)
    ready: list[bool] = []

    async def examine() -> dict[str, object]:
        return {"postgres": {"problem": "нет"}}

    observability = Observability(registry, lambda: bool(ready), examine)
    port = observability.start("127.0.0.1", 0)
    try:
        assert "lag_seconds 1.5" in (await get(port, "/metrics"))[1]
        assert await get(port, "/healthz") == (200, "alive\n")
        assert (await get(port, "/readyz"))[0] == 503
        ready.append(True)
        assert (await get(port, "/readyz"))[0] == 200
        assert json.loads((await get(port, "/doctor"))[1]) == {"postgres": {"problem": "нет"}}
        assert (await get(port, "/else"))[0] == 404
        with pytest.raises(CannotStart, match="in use") as caught:
            Observability(registry, lambda: True, examine).start("127.0.0.1", port)
        assert caught.value.exit_code is ExitCode.PORT_IN_USE
    finally:
        await observability.stop()


@pytest.mark.parametrize("host", ["no-such.invalid", "192.0.2.1"])
async def test_an_http_address_that_is_not_ours_is_not_called_in_use(host: str) -> None:
    async def examine() -> dict[str, object]:
        return {}

    with pytest.raises(CannotStart, match=r"Cannot listen on .* Set SVOYKRUG_HTTP_HOST") as caught:
        Observability(CollectorRegistry(), lambda: True, examine).start(host, 0)
    assert caught.value.exit_code is ExitCode.SETTINGS


async def test_a_doctor_that_fails_is_told_and_logged(log_lines: LogLines) -> None:
    async def examine() -> dict[str, object]:
        raise RuntimeError("no stethoscope")

    observability = Observability(CollectorRegistry(), lambda: True, examine)
    port = observability.start("127.0.0.1", 0)
    try:
        status, body = await get(port, "/doctor")
    finally:
        await observability.stop()
    assert status == 500
    assert "stethoscope" not in body
    await until(lambda: "no stethoscope" in log_lines.text)
