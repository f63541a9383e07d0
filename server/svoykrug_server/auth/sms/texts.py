"""What an SMS says, in Russian and English."""

from collections.abc import Mapping

from svoykrug_server.auth.sms.model import Template

_TEXTS: Mapping[tuple[Template, str], str] = {
    (Template.SIGN_IN_CODE, "ru"): "{code} — код для входа в Свой Круг. Никому его не сообщайте.\n\n@{host} #{code}",
    (Template.SIGN_IN_CODE, "en"): "{code} is your Svoy Krug sign-in code. Never tell it to anyone.\n\n@{host} #{code}",
    (Template.PHONE_CHANGE_CODE, "ru"): (
        "{code} — код для смены номера в Свой Круг. Никому его не сообщайте.\n\n@{host} #{code}"
    ),
    (Template.PHONE_CHANGE_CODE, "en"): (
        "{code} is your Svoy Krug code to change your phone number. Never tell it to anyone.\n\n@{host} #{code}"
    ),
    (Template.PHONE_CHANGED, "ru"): (
        "Свой Круг: у вашего аккаунта теперь другой номер телефона. Если это сделали не вы, напишите в поддержку."
    ),
    (Template.PHONE_CHANGED, "en"): (
        "Svoy Krug: your account has another phone number now. If it was not you who changed it, contact support."
    ),
    (Template.SESSION_COMPROMISED, "ru"): (
        "Свой Круг: мы завершили сеанс на одном из ваших устройств — "
        "им мог воспользоваться кто-то другой. Войдите заново."
    ),
    (Template.SESSION_COMPROMISED, "en"): (
        "Svoy Krug: we signed one of your devices out, because somebody else may have used it. Please sign in again."
    ),
}


def text_of(template: Template, locale: str, *, code: str = "", host: str = "") -> str:
    """Returns what an SMS says.

    A code's message ends in the line that phones fill codes in from: `@host #code`.

    Args:
        template: Which message.
        locale: `ru` or `en`.
        code: The six digits.
        host: The host of the app or site that takes the code.
    """
    return _TEXTS[template, locale].format(code=code, host=host)
