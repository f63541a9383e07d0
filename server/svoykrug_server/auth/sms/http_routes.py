"""Providers that are asked over HTTP, as the settings say."""

from svoykrug_server.auth.sms.http_calls import HttpCalls
from svoykrug_server.auth.sms.http_description import read_description, refuse_url
from svoykrug_server.auth.sms.http_template import HttpStatus, HttpTemplate
from svoykrug_server.auth.sms.model import DeliveryReporter, SmsSender
from svoykrug_server.auth.sms.smsc import Smsc, SmscAccount
from svoykrug_server.auth.sms.smsru import SmsRu, SmsRuAccount
from svoykrug_server.config import Settings
from svoykrug_server.kit.startup import CannotStart, ExitCode


def http_route(provider: str, settings: Settings) -> tuple[SmsSender, DeliveryReporter | None]:
    """Builds a way out over HTTP: who sends, and who says later what became of a message, if anybody does.

    Raises:
        CannotStart: The provider's settings are incomplete or wrong.
    """
    http = HttpCalls(settings.sms_timeout_seconds)
    if provider == "http":
        return _described(settings, http)
    route = SmsRu(http, _smsru(settings)) if provider == "smsru" else Smsc(http, _smsc(settings))
    return route, route


def _described(settings: Settings, http: HttpCalls) -> tuple[SmsSender, DeliveryReporter | None]:
    if settings.sms_http is None:
        raise _incomplete("http", "SVOYKRUG_SMS_HTTP")
    description = read_description(settings.sms_http.get_secret_value())
    status = description.status
    reporter = None if status is None else HttpStatus(http, description.headers, status)
    return HttpTemplate(http, description), reporter


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
