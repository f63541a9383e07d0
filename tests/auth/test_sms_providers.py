"""Each provider, called over real HTTP: what it is sent, and what its documented answers are taken for."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from svoykrug_server.auth.sms import smsc, smsru
from svoykrug_server.auth.sms.http_calls import HttpCalls
from svoykrug_server.auth.sms.http_description import ProviderDescription, read_description
from svoykrug_server.auth.sms.http_template import HttpStatus, HttpTemplate
from svoykrug_server.auth.sms.model import (
    Delivery,
    DeliveryReporter,
    DeliveryState,
    Fault,
    OutgoingSms,
    ProviderFailed,
    SmsSender,
    TakenSms,
)
from svoykrug_server.auth.sms.smsc import Smsc, SmscAccount
from svoykrug_server.auth.sms.smsru import SmsRu, SmsRuAccount
from tests.auth.sms_providers import (
    API_KEY,
    Answer,
    PlainProvider,
    Provider,
    SmscProvider,
    SmsRuProvider,
    another_shape,
    broken_off,
    deep,
    free_port,
    garbage,
    huge_body,
    listening,
    self_signed,
    silence,
    slow_body,
    status,
)
from tests.auth.world import PHONE

TEXT = 'код 123456 — "a" & b=c; {phone} {id}\n\n@host #123456'
SMS = OutgoingSms("0123456789abcdef0123456789abcdef", PHONE, TEXT, "123456")
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
HTTP, HASTY = HttpCalls(timeout_seconds=30), HttpCalls(timeout_seconds=1)
"""How providers are called, and those of which a test knows that no answer will end."""


def described(url: str) -> ProviderDescription:
    """Returns the description of the plain provider."""
    text = {
        "url": f"{url}/messages",
        "headers": {"authorization": f"Bearer {API_KEY}"},
        "json_body": {"to": ["{digits}"], "message": {"text": "{text}", "reference": "{id}", "parts": 2}},
        "id_path": "messages.0.id",
        "number_refused": ["422"],
        "again": ["409"],
        "status": {
            "url": f"{url}/messages/{{id}}?phone={{phone}}",
            "code_path": "messages.0.state",
            "sent": ["1"],
            "delivered": ["2"],
            "undeliverable": ["3"],
            "expired": ["4"],
        },
    }
    return read_description(json.dumps(text))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of provider: how it behaves, and how it is called."""

    provider: Callable[[], Provider]
    calling: Callable[[HttpCalls, str], SmsSender]

    def sender(self, url: str, http: HttpCalls = HTTP) -> SmsSender:
        """Returns what calls a provider."""
        return self.calling(http, url)


KINDS = {
    "smsru": Kind(SmsRuProvider, lambda http, url: SmsRu(http, SmsRuAccount(API_KEY, url=url))),
    "smsc": Kind(SmscProvider, lambda http, url: Smsc(http, SmscAccount({"apikey": API_KEY}, url=url))),
    "http": Kind(PlainProvider, lambda http, url: HttpTemplate(http, described(url))),
}
EACH = pytest.mark.parametrize("opened", list(KINDS), indirect=True)


@dataclass(frozen=True, slots=True)
class Opened:
    """A provider that listens, and its sender."""

    kind: str
    provider: Provider
    sender: SmsSender


@pytest.fixture
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    """A provider of one kind, listening."""
    kind = KINDS[request.param]
    provider = kind.provider()
    async with listening(provider):
        yield Opened(request.param, provider, kind.sender(provider.url))


def http_for(trouble: Answer) -> HttpCalls:
    """Returns how a provider in trouble is called."""
    return HASTY if trouble in (silence, slow_body) else HTTP


async def failure_of(sender: SmsSender) -> tuple[str, Fault, bool]:
    """Sends and returns how that failed; what the failure shows holds nothing of the message or the account."""
    with pytest.raises(ProviderFailed) as failed:
        await sender.send(SMS)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__ or failed.value.__context__ is None
    return failed.value.kind, failed.value.fault, failed.value.doubtful


def taken(provider_message_id: str) -> TakenSms:
    """Returns a message that a provider took under an id."""
    return TakenSms(uuid4(), "any", provider_message_id, PHONE, NOW, NOW, 1)


@EACH
async def test_a_message_arrives_word_for_word(opened: Opened) -> None:
    receipt = await opened.sender.send(SMS)
    (received,) = opened.provider.received
    assert received.method == "POST"
    assert API_KEY not in received.path
    assert not received.query
    if opened.kind == "smsru":
        assert received.form == {"api_id": API_KEY, "json": "1", "to": PHONE[1:], "msg": TEXT}
        assert receipt.provider_message_id == "000000-10000001"
    elif opened.kind == "smsc":
        assert received.form == {
            "apikey": API_KEY, "fmt": "3", "charset": "utf-8", "phones": PHONE, "mes": TEXT, "id": SMS.idempotency_key,
        }  # fmt: skip
        assert receipt.provider_message_id == SMS.idempotency_key
    else:
        assert json.loads(received.body) == {
            "to": [PHONE[1:]],
            "message": {"text": TEXT, "reference": SMS.idempotency_key, "parts": 2},
        }
        assert received.headers["authorization"] == f"Bearer {API_KEY}"
        assert receipt.provider_message_id == "m/1?"
    assert receipt.provider == opened.sender.name == opened.kind


TROUBLE: dict[str, tuple[Answer, tuple[str, Fault, bool]]] = {
    "500": (status(500), ("http_500", Fault.PASSING, True)),
    "502": (status(502), ("http_502", Fault.PASSING, True)),
    "503": (status(503), ("http_503", Fault.PASSING, False)),
    "429": (status(429), ("http_429", Fault.PASSING, False)),
    "403": (status(403), ("http_403", Fault.ACCOUNT, False)),
    "a redirect": (status(302), ("http_302", Fault.ACCOUNT, False)),
    "silence": (silence, ("timeout", Fault.PASSING, True)),
    "a slow body": (slow_body, ("timeout", Fault.PASSING, True)),
    "a huge body": (huge_body, ("answer_too_large", Fault.PASSING, True)),
    "broken off": (broken_off, ("broken_off", Fault.PASSING, True)),
    "garbage": (garbage, ("answer_unreadable", Fault.PASSING, True)),
    "deep": (deep, ("answer_unreadable", Fault.PASSING, True)),
    "another shape": (another_shape, ("answer_unreadable", Fault.PASSING, True)),
}


@EACH
@pytest.mark.parametrize("trouble", list(TROUBLE))
async def test_trouble_on_the_way_says_whether_the_message_may_have_arrived(opened: Opened, trouble: str) -> None:
    answer, expected = TROUBLE[trouble]
    opened.provider.trouble = [answer]
    assert await failure_of(KINDS[opened.kind].sender(opened.provider.url, http_for(answer))) == expected
    assert len(opened.provider.received) == 1


@pytest.mark.parametrize("kind", list(KINDS))
async def test_a_provider_that_nobody_reaches_has_surely_taken_nothing(kind: str) -> None:
    sender = KINDS[kind].sender(f"http://127.0.0.1:{free_port()}")
    assert await failure_of(sender) == ("unreachable", Fault.PASSING, False)


async def test_a_server_that_cannot_prove_its_name_gets_nothing(tmp_path: Path) -> None:
    provider = SmsRuProvider()
    async with listening(provider, self_signed(tmp_path)):
        sender = KINDS["smsru"].sender(provider.url)
        assert await failure_of(sender) == ("tls_refused", Fault.ACCOUNT, False)
    assert not provider.received


@pytest.mark.parametrize("code", [*smsru.FAULTS, 999])
async def test_every_documented_code_of_smsru_has_its_meaning(code: int) -> None:
    provider = SmsRuProvider(codes=[code])
    async with listening(provider):
        kind, fault = smsru.FAULTS.get(code, ("code_999", Fault.ACCOUNT))
        assert await failure_of(KINDS["smsru"].sender(provider.url)) == (kind, fault, False)


@pytest.mark.parametrize("code", [*smsc.FAULTS, 99])
async def test_every_documented_code_of_smsc_has_its_meaning(code: int) -> None:
    provider = SmscProvider(codes=[code])
    async with listening(provider):
        kind, fault = smsc.FAULTS.get(code, ("code_99", Fault.ACCOUNT))
        assert await failure_of(KINDS["smsc"].sender(provider.url)) == (kind, fault, False)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (422, ("number_refused", Fault.MESSAGE, False)),
        (409, ("overloaded", Fault.PASSING, False)),
        (401, ("http_401", Fault.ACCOUNT, False)),
        (204, ("code_unknown", Fault.ACCOUNT, False)),
    ],
)
async def test_the_codes_of_a_described_provider_mean_what_the_description_says(
    code: int, expected: tuple[str, Fault, bool]
) -> None:
    provider = PlainProvider(codes=[code])
    async with listening(provider):
        assert await failure_of(KINDS["http"].sender(provider.url)) == expected


async def test_the_meanings_that_decide_what_follows_stand_for_themselves() -> None:
    assert smsru.FAULTS[201] == smsc.FAULTS[3] == ("no_money", Fault.ACCOUNT)
    assert smsru.FAULTS[200][1] is smsc.FAULTS[2][1] is Fault.ACCOUNT
    assert smsru.FAULTS[202] == smsc.FAULTS[7] == ("number_refused", Fault.MESSAGE)
    assert smsru.FAULTS[220][1] is smsru.FAULTS[500][1] is Fault.PASSING
    assert smsc.FAULTS[9][1] is Fault.PASSING
    assert {smsru.FAULTS[code][1] for code in (209, 214, 215, 230, 231, 232, 233)} == {Fault.HERE}


@pytest.mark.parametrize(
    "account",
    [SmsRuAccount("wrong"), SmsRuAccount(API_KEY, sender="SvoyKrug", test=True)],
)
async def test_smsru_knows_its_customer_by_the_key(account: SmsRuAccount) -> None:
    provider = SmsRuProvider()
    async with listening(provider):
        sender = SmsRu(HTTP, SmsRuAccount(account.api_id, account.sender, account.test, provider.url))
        if account.api_id == "wrong":
            assert await failure_of(sender) == ("key_refused", Fault.ACCOUNT, False)
        else:
            await sender.send(SMS)
            assert provider.received[0].form["from"] == "SvoyKrug"
            assert provider.received[0].form["test"] == "1"


async def test_smsc_takes_login_and_password_instead_of_a_key() -> None:
    provider = SmscProvider()
    async with listening(provider):
        sender = Smsc(HTTP, SmscAccount({"login": "svoykrug", "psw": API_KEY}, "SvoyKrug", provider.url))
        await sender.send(SMS)
        assert provider.received[0].form["login"] == "svoykrug"
        assert provider.received[0].form["sender"] == "SvoyKrug"
        wrong = Smsc(HTTP, SmscAccount({"login": "svoykrug", "psw": "wrong"}, url=provider.url))
        assert await failure_of(wrong) == ("key_refused", Fault.ACCOUNT, False)


async def test_smsru_says_how_many_messages_stand_in_one_answer() -> None:
    provider = SmsRuProvider(states=dict(zip("abcdefghijk", smsru.STATES, strict=False)))
    async with listening(provider):
        reports = await SmsRu(HTTP, SmsRuAccount(API_KEY, url=provider.url)).report([taken(i) for i in "abcdefghijkz"])
    assert len(provider.received) == 1
    assert reports == {**dict(zip("abcdefghijk", smsru.STATES.values(), strict=False)), "z": smsru.STATES[-1]}


@pytest.mark.parametrize("ids", ["a", "abcdefghijkl"])
async def test_smsc_says_how_one_message_or_many_stand_and_since_when(ids: str) -> None:
    provider = SmscProvider(states=dict(zip("abcdefghijkl", smsc.STATES, strict=False)))
    async with listening(provider):
        account = SmscAccount({"apikey": API_KEY}, url=provider.url)
        reports = await Smsc(HTTP, account).report([taken(sms_id) for sms_id in ids])
    assert len(provider.received) == 1
    assert list(reports) == list(ids)
    since = datetime.fromtimestamp(1_795_000_000, UTC)
    for delivery, known in zip(reports.values(), smsc.STATES.values(), strict=False):
        # The provider's `err` 1 says more than its state.
        assert delivery == Delivery(known.state, known.failure and "no_such_subscriber", since)


async def test_a_described_provider_says_how_a_message_stands() -> None:
    expected = {
        0: DeliveryState.UNKNOWN,
        1: DeliveryState.SENT,
        2: DeliveryState.DELIVERED,
        3: DeliveryState.UNDELIVERABLE,
        4: DeliveryState.EXPIRED,
    }
    provider = PlainProvider(states={f"m/{code}?": code for code in expected})
    async with listening(provider):
        description = described(provider.url)
        assert description.status is not None
        reporter = HttpStatus(HTTP, description.headers, description.status)
        for code, state in expected.items():
            reports = await reporter.report([taken(f"m/{code}?")])
            assert reports[f"m/{code}?"].state is state
    assert {received.query["phone"] for received in provider.received} == {PHONE}
    assert {received.headers["authorization"] for received in provider.received} == {f"Bearer {API_KEY}"}


@EACH
@pytest.mark.parametrize("trouble", ["500", "silence", "garbage", "another shape"])
async def test_trouble_in_asking_leaves_a_message_as_it_was(opened: Opened, trouble: str) -> None:
    opened.provider.trouble = [TROUBLE[trouble][0]]
    description, http = described(opened.provider.url), http_for(TROUBLE[trouble][0])
    assert description.status is not None
    sender = KINDS[opened.kind].sender(opened.provider.url, http)
    asked = HttpStatus(http, description.headers, description.status) if opened.kind == "http" else sender
    reporter = cast("DeliveryReporter", asked)
    with suppress(ProviderFailed):
        reports = await reporter.report([taken("a")])
        assert not [delivery for delivery in reports.values() if delivery.state is not DeliveryState.UNKNOWN]
    assert len(opened.provider.received) == 1
