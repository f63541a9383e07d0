"""Which providers send SMS, as the settings say."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from svoykrug_server.auth.sms.console import ConsoleSmsSender
from svoykrug_server.auth.sms.metrics import SmsMetrics
from svoykrug_server.auth.sms.model import DeliveryReporter, SmsSender
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
    senders: list[SmsSender] = []
    reporters: dict[str, DeliveryReporter] = {}
    for provider in settings.sms_providers:
        if provider == "console":
            senders.append(ConsoleSmsSender())
            continue
        from svoykrug_server.auth.sms.http_routes import http_route  # noqa: PLC0415  aiohttp, 70 ms and 10 MB

        sender, reporter = http_route(provider, settings)
        senders.append(sender)
        if reporter is not None:
            reporters[sender.name] = reporter
    if len({sender.name for sender in senders}) < len(senders):
        raise CannotStart("SVOYKRUG_SMS_PROVIDERS names a provider twice.", ExitCode.SETTINGS)
    return SmsRoutes(tuple(senders), reporters, SmsMetrics(registry))
