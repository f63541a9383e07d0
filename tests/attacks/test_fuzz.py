"""Bent messages and raw bytes at every method, by callers whom the edge lets in, so that the code behind it is reached.

`make test` sends a sample; `make soak` sends 2,000 messages to every method (`--fuzz-messages 2000`).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import grpc
import psutil
import pytest
from contract import COMMON_REASONS, Contract
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub

from svoykrug_server.rpc.status import CATALOGUE
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.attacks.cast import Cast, ShiftedClock, renewed
from tests.attacks.kinds import ROW_BY_METHOD, ROWS, Kind
from tests.attacks.mutation import bent, drawn
from tests.attacks.plausible import request_for
from tests.attacks.wire import Metadata, answer_to, methods_of, path_of, reason_of, shape_of
from tests.e2e.running import Running, running

# What no message may make of a call. A deadline passed is a hang; unavailable is a store that broke.
UNFORESEEN = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
# What callers are told who took their own rights away; then others take their places.
RIGHTS_LOST = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION}
)
CALLERS = (Kind.SUPERADMIN, Kind.OWNER_HERE, Kind.SERVICE_WITH_SCOPE)
AT_ONCE = 8
DRAWN_AT_ONCE = 200
SHORTEST_ECHO = 8
MOST_GROWTH_BYTES = 300 * 2**20
# Texts of the contract, which errors may name; hypothesis finds them in our code, and they were not the caller's.
OUR_WORDS = frozenset({"display_name", "birth_date", "svoykrug", *CATALOGUE})


@dataclass(slots=True)
class Findings:
    """What was seen.

    Attributes:
        codes: How calls ended.
        by_caller: How many messages each kind of caller sent.
        wrong: What no message may cause, each with the method and the message.
        reasons: What each method of ours may answer, by its path: what its comment names, and what any may.
    """

    codes: Counter[str] = field(default_factory=Counter)
    by_caller: Counter[Kind] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    reasons: Mapping[str, frozenset[str]] = field(default_factory=lambda: dict(_reasons()))


def _reasons() -> Iterator[tuple[str, frozenset[str]]]:
    for method in Contract().methods:
        yield f"/{method.service}/{method.name}", method.named_reasons.union(COMMON_REASONS)


@pytest.fixture
async def server(postgres: Postgres, warehouse: Warehouse, server_clock: ShiftedClock) -> AsyncIterator[Running]:
    """The whole server, patient with attackers who sign in again and again, and whose tokens outlive the attack."""
    settings: dict[str, Any] = {
        "access_token_life_seconds": 6 * 3600,
        "code_breaker_home_verified_percent": 0,
        "code_sends_per_address_hour": 10**6,
        "code_sends_per_doubtful_address_hour": 10**6,
        "code_sends_per_home_prefix_hour": 10**6,
    }
    async with running(postgres, warehouse, server_clock, channelz=True, **settings) as started:
        yield started


@pytest.fixture
def messages_per_method(request: pytest.FixtureRequest) -> int:
    """How many messages every method is sent."""
    return int(request.config.getoption("--fuzz-messages"))


@pytest.mark.timeout(4 * 3600)
async def test_no_message_makes_any_method_fail_unforeseen_or_unnamed_hang_or_repeat_what_it_was_sent(
    server: Running, cast: Cast, messages_per_method: int, capsys: pytest.CaptureFixture[str]
) -> None:
    findings, process = Findings(), psutil.Process()
    known = await _known(cast)
    methods = methods_of(ROWS)
    await _attack_all(cast, methods, known, 2, findings)
    before = process.memory_info().rss
    await _attack_all(cast, methods, known, messages_per_method, findings)
    growth = process.memory_info().rss - before
    with capsys.disabled():
        print(  # noqa: T201 - the counts are results of this test
            f"\nfuzz: {sum(findings.codes.values())} calls of {len(methods)} methods, "
            f"memory {growth / 2**20:+.0f} MiB, {dict(findings.codes.most_common())}"
        )
    assert findings.wrong == [], "\n".join(findings.wrong[:30])
    assert growth < MOST_GROWTH_BYTES
    assert findings.codes["OK"] > len(methods)
    assert set(findings.by_caller) == set(CALLERS)


async def _known(cast: Cast) -> list[str]:
    """Makes a purchase, and returns the ids of what exists."""
    purchase = purchases_pb.NewPurchase(
        user_id=cast.people[Kind.MEMBER].user_id,
        external_id="receipt-1",
        amount_minor=100_000,
        currency_code="RUB",
    )
    purchase.purchase_time.GetCurrentTime()
    request = purchases_pb.RecordPurchaseRequest(business_id=cast.here, purchase=purchase)
    stub = PurchasesServiceStub(cast.circle.channel)
    answer = await stub.RecordPurchase(request, metadata=cast.metadata_of(Kind.SUPERADMIN))
    people = [person.user_id for person in cast.people.values()]
    return ["receipt-1", answer.purchase.id, cast.here, cast.elsewhere, *people]


async def _attack_all(
    cast: Cast, methods: Sequence[MethodDescriptor], known: Sequence[str], count: int, findings: Findings
) -> None:
    for method in methods:
        await _attack(cast, method, known, count, findings)


async def _attack(cast: Cast, method: MethodDescriptor, known: Sequence[str], count: int, findings: Findings) -> None:
    strategy = bent(request_for(method, cast.here), known)
    kinds = [kind for kind in CALLERS if kind in ROW_BY_METHOD[method.full_name].kinds]
    await renewed(cast, kinds)
    for drawn_count in range(0, count, DRAWN_AT_ONCE):
        number = crc32(method.full_name.encode()) + drawn_count
        messages = drawn(strategy, min(DRAWN_AT_ONCE, count - drawn_count), number)
        for start in range(0, len(messages), AT_ONCE):
            codes = await asyncio.gather(
                *(
                    _send(cast, method, kinds[(start + place) % len(kinds)], message, findings)
                    for place, message in enumerate(messages[start : start + AT_ONCE])
                )
            )
            if not RIGHTS_LOST.isdisjoint(codes):
                await renewed(cast, kinds)


async def _send(
    cast: Cast, method: MethodDescriptor, kind: Kind, message: bytes, findings: Findings
) -> grpc.StatusCode:
    metadata: Metadata = cast.metadata_of(kind, ROW_BY_METHOD[method.full_name].scope)
    sent = [message, message] if shape_of(method)[0] else [message]
    error = await answer_to(cast.circle.channel, method, sent, metadata)
    code = grpc.StatusCode.OK if error is None else error.code()
    findings.by_caller[kind] += 1
    findings.codes[code.name] += 1
    if error is None:
        return code
    what = f"{path_of(method)} by {kind}, {message[:400]!r}"
    if code in UNFORESEEN:
        findings.wrong.append(f"{code.name}: {what}: {error.details()}")
    reason, named = reason_of(error), findings.reasons.get(path_of(method))
    if named is not None and reason not in named:
        findings.wrong.append(f"not among the method's errors: {reason}: {what}")
    findings.wrong += [f"echo of {text!r}: {what}" for text in _echoed(method, message, error)]
    return code


def _echoed(method: MethodDescriptor, message: bytes, error: grpc.aio.AioRpcError) -> Iterator[str]:
    """Yields every text of a request that its error repeats."""
    trailers = dict(error.trailing_metadata() or ())
    told = trailers.get("grpc-status-details-bin", b"")
    shown = (told if isinstance(told, bytes) else told.encode()) + (error.details() or "").encode()
    try:
        request = message_factory.GetMessageClass(method.input_type).FromString(message)
    except DecodeError:
        return
    for text in _texts_of(request):
        if len(text) >= SHORTEST_ECHO and text not in OUR_WORDS and text.encode() in shown:
            yield text


def _texts_of(message: Message) -> Iterator[str]:
    for described, value in message.ListFields():
        for entry in value if described.is_repeated else [value]:
            if isinstance(entry, Message):
                yield from _texts_of(entry)
            elif isinstance(entry, str):
                yield entry
