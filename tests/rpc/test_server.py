"""Listening, health, reflection, and stopping without dropping a call."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.rpc import server as server_module
from svoykrug_server.rpc.listening import check_addresses
from svoykrug_server.rpc.options import RpcOptions, TlsOptions
from svoykrug_server.rpc.server import RpcServer
from tests.rpc.conftest import LogLines, StartEdge, TokenTable
from tests.rpc.probe import SERVICE, ProbeRequest, Stub
from tests.rpc.test_interceptor import refused
from tests.waiting import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


async def test_health_is_told_for_every_service_and_for_the_server(start_edge: StartEdge) -> None:
    edge = await start_edge()
    for name in ("", SERVICE):
        answer = await health_of(edge.stub.channel).Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_of(edge.stub.channel).Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_health_of_all_services_is_listed_at_once(start_edge: StartEdge) -> None:
    edge = await start_edge()
    request = cast(Any, health_pb2).HealthListRequest()  # its published types do not know it yet
    listed = await health_of(edge.stub.channel).List(request)
    assert {name: answer.status for name, answer in listed.statuses.items()} == {"": SERVING, SERVICE: SERVING}


async def test_health_is_answered_when_the_server_sheds_calls(start_edge: StartEdge) -> None:
    edge = await start_edge(max_calls=0)
    assert (await refused(edge.stub.Echo(ProbeRequest()))).reason == "OVERLOADED"
    assert (await health_of(edge.stub.channel).Check(health_pb2.HealthCheckRequest())).status == SERVING


async def reflected(channel: grpc.aio.Channel, **question: Any) -> Any:
    async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(**question)

    stub: Any = reflection_pb2_grpc.ServerReflectionStub
    return await stub(channel).ServerReflectionInfo(ask()).read()


async def test_reflection_lists_services_and_knows_the_details_of_errors(start_edge: StartEdge) -> None:
    channel = (await start_edge()).stub.channel
    listed = await reflected(channel, list_services="")
    assert SERVICE in {service.name for service in listed.list_services_response.service}
    found = await reflected(channel, file_containing_symbol="google.rpc.BadRequest")
    file = descriptor_pb2.FileDescriptorProto.FromString(found.file_descriptor_response.file_descriptor_proto[0])
    assert file.name == "google/rpc/error_details.proto"


async def test_reflection_describes_a_method_by_its_name(start_edge: StartEdge) -> None:
    """The lesson of grpc#34743."""
    channel = (await start_edge()).stub.channel
    found = await reflected(channel, file_containing_symbol="grpc.health.v1.Health.Check")
    file = descriptor_pb2.FileDescriptorProto.FromString(found.file_descriptor_response.file_descriptor_proto[0])
    assert [service.name for service in file.service] == ["Health"]
    missing = await reflected(channel, file_containing_symbol="grpc.health.v1.Health.Cure")
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_reflection_can_be_switched_off(start_edge: StartEdge) -> None:
    edge = await start_edge(reflection=False)
    stub: Any = reflection_pb2_grpc.ServerReflectionStub
    # Nothing is written: a write that meets the refusal on its way makes grpc.aio report INTERNAL instead.
    assert await stub(edge.stub.channel).ServerReflectionInfo().code() is grpc.StatusCode.UNIMPLEMENTED


async def test_channelz_answers_this_machine_when_it_is_switched_on(start_edge: StartEdge) -> None:
    path = "/grpc.channelz.v1.Channelz/GetServers"
    switched_off: Any = (await start_edge()).stub.channel.unary_unary(path)
    assert (await refused(switched_off(b""))).reason == "METHOD_UNKNOWN"
    switched_on: Any = (await start_edge(channelz=True)).stub.channel.unary_unary(path)
    assert await switched_on(b"")


async def test_stopping_says_not_serving_finishes_calls_and_ends_endless_streams(start_edge: StartEdge) -> None:
    release = asyncio.Event()

    async def finish(request: Any, context: Any) -> Any:
        await release.wait()
        return request

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        await asyncio.Event().wait()

    edge = await start_edge({"Echo": finish, "Watch": watch})
    slow = edge.stub.Echo(ProbeRequest(text="slow"))
    watching = aiter(edge.stub.Watch(ProbeRequest()))
    assert await anext(watching) == ProbeRequest()
    health = health_of(edge.stub.channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await health.read()).status == SERVING
    await until(lambda: edge.server.calls_in_progress == 2)
    stopping = asyncio.create_task(edge.server.stop())
    assert (await health.read()).status == NOT_SERVING
    error = await refused(anext(watching))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert not edge.server.is_ready
    assert not stopping.done()
    release.set()
    assert (await slow).text == "slow"
    await stopping


async def test_a_hurried_stop_waits_for_no_call(start_edge: StartEdge) -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    edge = await start_edge({"Echo": hang}, drain_seconds=1000.0, grace_seconds=1000.0)
    call = edge.stub.Echo(ProbeRequest())
    await until(lambda: edge.server.calls_in_progress == 1)
    hurry = asyncio.Event()
    stopping = asyncio.create_task(edge.server.stop(hurry))
    hurry.set()
    async with asyncio.timeout(10):
        await stopping
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_a_stop_takes_no_longer_than_its_grace(start_edge: StartEdge) -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    edge = await start_edge({"Echo": hang}, grace_seconds=0.1)
    call = edge.stub.Echo(ProbeRequest())
    await until(lambda: edge.server.calls_in_progress == 1)
    async with asyncio.timeout(10):
        await edge.server.stop()
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_a_stop_does_not_wait_for_a_client_that_went_silent(
    start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LINGER_SECONDS", 0.1)
    edge = await start_edge(grace_seconds=1000.0)
    host, _, port = edge.server.addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # An HTTP/2 client that says hello, reads the server's hello, and then answers nothing, not even its pings.
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
    assert await reader.read(9)
    async with asyncio.timeout(10):
        await edge.server.stop()
    writer.close()


async def started(options: RpcOptions) -> RpcServer:
    server = RpcServer(options, TokenTable(), CollectorRegistry())
    await server.start()
    return server


async def test_several_addresses_are_listened_on(start_edge: StartEdge) -> None:
    edge = await start_edge(listen=("127.0.0.1:0", "localhost:0"))
    first, second = edge.server.addresses
    assert first != second
    async with grpc.aio.insecure_channel(second) as channel:
        assert await Stub(channel).Echo(ProbeRequest()) == ProbeRequest()


async def test_a_port_in_use_is_one_clear_line(start_edge: StartEdge) -> None:
    edge = await start_edge()
    with pytest.raises(CannotStart, match="in use by another program") as caught:
        await started(RpcOptions(listen=edge.server.addresses))
    assert caught.value.exit_code is ExitCode.PORT_IN_USE
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:many",
        "127.0.0.1",
        "192.0.2.1:0",
        "127.0.0.1:65536",
        "::1:0",
        "no-such.invalid:0",
        "unix:/no/such/socket",
    ],
)
async def test_an_address_that_cannot_be_listened_on_is_one_clear_line(address: str) -> None:
    with pytest.raises(CannotStart) as caught:
        await started(RpcOptions(listen=(address,), allow_plaintext=True))
    assert address in str(caught.value)
    assert "SVOYKRUG_LISTEN" in str(caught.value)


def test_an_address_that_is_named_twice_is_one_clear_line(unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    with pytest.raises(CannotStart, match="named twice"):
        check_addresses(RpcOptions(listen=(address, address)))


async def test_plaintext_off_loopback_needs_a_setting_and_warns(log_lines: LogLines) -> None:
    with pytest.raises(CannotStart, match="SVOYKRUG_ALLOW_PLAINTEXT"):
        await started(RpcOptions(listen=("0.0.0.0:0",)))
    server = await started(RpcOptions(listen=("0.0.0.0:0",), allow_plaintext=True))
    await server.stop()
    assert "listening without TLS" in log_lines.text


def write_certificate(folder: Path, name: str) -> tuple[TlsOptions, bytes]:
    """Writes a self-signed certificate for localhost over whatever was there."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    options = TlsOptions(folder / "certificate.pem", folder / "key.pem")
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    options.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    options.certificate.write_bytes(pem)
    return options, pem


async def echo_over_tls(address: str, roots: bytes, client: TlsOptions | None = None) -> None:
    key, chain = (client.key.read_bytes(), client.certificate.read_bytes()) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(roots, key, chain)
    async with grpc.aio.secure_channel(f"localhost:{address.rpartition(':')[2]}", credentials) as channel:
        assert await Stub(channel).Echo(ProbeRequest(), timeout=10) == ProbeRequest()


async def test_tls_is_served_and_a_renewed_certificate_is_taken_without_a_restart(
    start_edge: StartEdge, tmp_path: Path
) -> None:
    tls, first = write_certificate(tmp_path, "first")
    edge = await start_edge(tls=tls, listen=("127.0.0.1:0",))
    (address,) = edge.server.addresses
    await echo_over_tls(address, first)
    _, second = write_certificate(tmp_path, "second")
    await echo_over_tls(address, second)


async def test_client_certificates_can_be_required(start_edge: StartEdge, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "client").mkdir()
    server, roots = write_certificate(tmp_path / "server", "server")
    client, _ = write_certificate(tmp_path / "client", "client")
    edge = await start_edge(tls=replace(server, client_authorities=client.certificate))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await echo_over_tls(edge.server.addresses[0], roots)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await echo_over_tls(edge.server.addresses[0], roots, client)


async def test_a_certificate_that_is_replaced_by_nonsense_is_not_taken_and_told_once(
    start_edge: StartEdge, tmp_path: Path, log_lines: LogLines
) -> None:
    tls, roots = write_certificate(tmp_path, "first")
    edge = await start_edge(tls=tls, listen=("127.0.0.1:0",))
    tls.certificate.write_text("nonsense")
    for _ in range(2):
        await echo_over_tls(edge.server.addresses[0], roots)
    assert log_lines.text.count("certificate_not_taken") == 1


@pytest.mark.parametrize("which", ["certificate", "key", "client_authorities"])
def test_tls_files_that_make_no_sense_are_one_clear_line(tmp_path: Path, which: str) -> None:
    tls, _ = write_certificate(tmp_path, "first")
    (tmp_path / "nonsense.pem").write_text("nonsense")
    with pytest.raises(CannotStart, match="not usable for TLS") as caught:
        check_addresses(RpcOptions(listen=("127.0.0.1:0",), tls=replace(tls, **{which: tmp_path / "nonsense.pem"})))
    assert str(tmp_path / "nonsense.pem") in str(caught.value)


def test_the_key_of_another_certificate_is_one_clear_line(tmp_path: Path) -> None:
    for name in ("ours", "other"):
        (tmp_path / name).mkdir()
    ours, _ = write_certificate(tmp_path / "ours", "ours")
    other, _ = write_certificate(tmp_path / "other", "other")
    with pytest.raises(CannotStart, match="key values mismatch"):
        check_addresses(RpcOptions(listen=("127.0.0.1:0",), tls=replace(ours, key=other.key)))


async def test_a_missing_certificate_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="cannot be read: No such file"):
        await started(RpcOptions(tls=TlsOptions(tmp_path / "none.pem", tmp_path / "none.key")))
