"""A provider described by a setting: any HTTP API that takes one SMS a request and answers a code.

Values are put into the description, never into its syntax: into a URL percent-encoded, into a form or JSON as the value
of a field. What is put in is not read again, so that a text with braces stays a text.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from svoykrug_server.auth.sms.http_calls import HttpAnswer, HttpCalls, HttpRequest, message_id_of, unreadable
from svoykrug_server.auth.sms.http_description import PLACEHOLDER, ProviderDescription, StatusQuestion
from svoykrug_server.auth.sms.model import Delivery, Fault, OutgoingSms, ProviderFailed, SmsReceipt, TakenSms


class HttpTemplate:
    """Sends by a provider that a setting describes.

    Args:
        http: Calls it.
        description: Its API.
    """

    def __init__(self, http: HttpCalls, description: ProviderDescription) -> None:
        self._http = http
        self._provider = description

    @property
    def name(self) -> str:
        """What it is called in metrics and receipts."""
        return self._provider.name

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Hands a message over.

        Raises:
            ProviderFailed: It was not taken, or nobody knows.
        """
        provider = self._provider
        values = {**_of_phone(message.phone), "text": message.text, "id": message.idempotency_key}
        form = provider.form and {name: filled(text, values) for name, text in provider.form.items()}
        body = filled_json(provider.json_body, values)
        url = filled_url(provider.url, values)
        answer = await self._http.call(HttpRequest(url, provider.method, provider.headers, form, body))
        parsed = answer.parsed()
        self._check(found(parsed, provider.code_path) if provider.code_path else str(answer.status), answer)
        taken_as = found(parsed, provider.id_path) if provider.id_path else message.idempotency_key
        return SmsReceipt(self.name, message_id_of(taken_as))

    def _check(self, code: str | None, answer: HttpAnswer) -> None:
        """Refuses a code that does not mean that the message was taken."""
        provider = self._provider
        if code in provider.taken:
            return
        if code in provider.number_refused:
            raise ProviderFailed("number_refused", Fault.MESSAGE)
        if code in provider.again:
            raise ProviderFailed("overloaded", Fault.PASSING)
        answer.check_status()
        raise unreadable() if code is None else ProviderFailed("code_unknown", Fault.ACCOUNT)


class HttpStatus:
    """Asks a provider that a setting describes about delivery.

    Args:
        http: Calls it.
        headers: The headers of its API.
        question: How it is asked.
    """

    most_messages = 1

    def __init__(self, http: HttpCalls, headers: Mapping[str, str], question: StatusQuestion) -> None:
        self._http = http
        self._headers = headers
        self._question = question

    async def report(self, messages: Sequence[TakenSms]) -> Mapping[str, Delivery]:
        """Returns how messages stand, by the provider's id; one request for each.

        Raises:
            ProviderFailed: It did not say.
        """
        return {sms.provider_message_id: await self._report(sms) for sms in messages}

    async def _report(self, sms: TakenSms) -> Delivery:
        values = {**_of_phone(sms.phone), "id": sms.provider_message_id}
        answer = await self._http.call(HttpRequest(filled_url(self._question.url, values), "GET", self._headers))
        answer.check_status()
        return self._question.delivery(found(answer.parsed(), self._question.code_path))


def filled(template: str, values: Mapping[str, str]) -> str:
    """Returns a text with its placeholders replaced, each once; braces around anything else stay as they are."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def filled_url(template: str, values: Mapping[str, str]) -> str:
    """Returns a URL with its placeholders replaced by percent-encoded values."""
    return filled(template, {name: quote(value, safe="") for name, value in values.items()})


def filled_json(template: Any, values: Mapping[str, str]) -> Any:
    """Returns JSON whose texts have their placeholders replaced; names of fields stay as they are."""
    if isinstance(template, str):
        return filled(template, values)
    if isinstance(template, Mapping):
        return {name: filled_json(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [filled_json(value, values) for value in template]
    return template


def found(parsed: Any, path: str) -> str | None:
    """Returns, as a text, what stands at a path such as `messages.0.id`; None where no text, number or truth does."""
    for step in path.split("."):
        if isinstance(parsed, Mapping):
            parsed = parsed.get(step)
        elif isinstance(parsed, list) and step.isdecimal() and int(step) < len(parsed):
            parsed = parsed[int(step)]
        else:
            return None
    if isinstance(parsed, bool):
        return str(parsed).lower()
    return str(parsed) if isinstance(parsed, str | int | float) else None


def _of_phone(phone: str) -> dict[str, str]:
    return {"phone": phone, "digits": phone.removeprefix("+")}
