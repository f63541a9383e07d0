"""The sender of the embedded default: shows the message on the server's console, so that nobody can miss the code."""

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from svoykrug_server.auth.sms.model import OutgoingSms, SmsReceipt


class ConsoleSmsSender:
    """Shows messages instead of sending them. For one's own machine: whoever sees the console can sign in as anybody.

    Args:
        console: Where to show them; standard error by default.
    """

    name = "console"

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Shows a message; always succeeds."""
        body = Text(message.text)
        if message.code is not None:
            body = Text.assemble((" ".join(message.code), "bold black on bright_yellow"), "\n\n", body)
        title = f"SMS to {message.phone}"
        self._console.print(Panel(body, title=title, border_style="bright_yellow", expand=False, padding=(1, 4)))
        return SmsReceipt(self.name, message.idempotency_key)
