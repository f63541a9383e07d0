"""Which providers send SMS, as the settings say."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from svoykrug_server.auth.sms.console import ConsoleSmsSender
from svoykrug_server.auth.sms.http_calls import HttpCalls
from svoykrug_server.auth.sms.http_description import read_description, refuse_url
from svoykrug_server.auth.sms.http_template import HttpStatus, HttpTemplate
from svoykrug_server.auth.sms.metrics import SmsMetrics
from svoykrug_server.auth.sms.model import DeliveryReporter, SmsSender
from svoykrug_server.auth.sms.smsc import Smsc, SmscAccount
from svoykrug_server.auth.sms.smsru import SmsRu, SmsRuAccount
from svoykrug_server.config import Settings
from svoykrug_server.kit.startup import CannotStart, ExitCode


@dataclass(frozen=True, slots=True)
class SmsRoutes:
    """The ways out.

    Attributes:
        senders: Who sends, the preferred one first.
        reporters: Those of them who say later what became of a message, by name.
        metrics: Counts attempts and deliveries.
    """

    senders: tuple[SmsSender, ...]
    reporters: Mapping[str, DeliveryReporter]
    metrics: SmsMetrics


def sms_routes(settings: Settings, registry: CollectorRegistry) -> SmsRoutes:
    """Builds the ways out.

    Raises:
        CannotStart: A provider is named whose settings are incomplete or wrong.
    """
    http = HttpCalls(settings.sms_timeout_seconds)
    senders: list[SmsSender] = []
    reporters: dict[str, DeliveryReporter] = {}
    for provider in settings.sms_providers:
        if provider == "console":
            senders.append(ConsoleSmsSender())
        elif provider == "http":
            _add_http(settings, http, senders, reporters)
        else:
            route = SmsRu(http, _smsru(settings)) if provider == "smsru" else Smsc(http, _smsc(settings))
            senders.append(route)
            reporters[route.name] = route
    if len({sender.name for sender in senders}) < len(senders):
        raise CannotStart("SVOYKRUG_SMS_PROVIDERS names a provider twice.", ExitCode.SETTINGS)
    return SmsRoutes(tuple(senders), reporters, SmsMetrics(registry))


def _add_http(
    settings: Settings, http: HttpCalls, senders: list[SmsSender], reporters: dict[str, DeliveryReporter]
) -> None:
    if settings.sms_http is None:
        raise _incomplete("http", "SVOYKRUG_SMS_HTTP")
    description = read_description(settings.sms_http.get_secret_value())
    senders.append(HttpTemplate(http, description))
    if description.status is not None:
        reporters[description.name] = HttpStatus(http, description.headers, description.status)


def _smsru(settings: Settings) -> SmsRuAccount:
    if settings.smsru_api_id is None:
        raise _incomplete("smsru", "SVOYKRUG_SMSRU_API_ID")
    return SmsRuAccount(
        settings.smsru_api_id.get_secret_value(),
        settings.smsru_sender,
        settings.smsru_test,
        _checked_url("SVOYKRUG_SMSRU_URL", settings.smsru_url),
    )


def _smsc(settings: Settings) -> SmscAccount:
    url = _checked_url("SVOYKRUG_SMSC_URL", settings.smsc_url)
    if settings.smsc_api_key is not None:
        return SmscAccount({"apikey": settings.smsc_api_key.get_secret_value()}, settings.smsc_sender, url)
    if not settings.smsc_login or settings.smsc_password is None:
        raise _incomplete("smsc", "SVOYKRUG_SMSC_API_KEY, or SVOYKRUG_SMSC_LOGIN and SVOYKRUG_SMSC_PASSWORD")
    credentials = {"login": settings.smsc_login, "psw": settings.smsc_password.get_secret_value()}
    return SmscAccount(credentials, settings.smsc_sender, url)


def _checked_url(variable: str, url: str) -> str:
    try:
        refuse_url(url)
    except ValueError as error:
        raise CannotStart(f"{variable}: {error}", ExitCode.SETTINGS) from None
    return url.rstrip("/")


def _incomplete(provider: str, variables: str) -> CannotStart:
    return CannotStart(f"SVOYKRUG_SMS_PROVIDERS names {provider}: set {variables}.", ExitCode.SETTINGS)
