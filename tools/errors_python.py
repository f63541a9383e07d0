"""Write `svoykrug/errors.py`: the error catalogue as Python exceptions, one class a reason.

Why this exists: a caller writes `except errors.CodeWrong`, and a type checker and an editor must know the class; so
they are generated from the enum and its options like everything else, instead of being made at run time.
"""

import keyword
import textwrap

from contract import Contract

_HEAD = '''"""Generated from the error catalogue: every refusal of the server as an exception class.

    SvoyKrugError                 every refusal, also of a kind that this version does not know
    ├── one class a status code   such as `Unauthenticated`
    │   └── one class a reason    such as `CodeWrong`
    └── ConnectionLost            the server could not be reached, or went away in mid-call
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(eq=False)
class SvoyKrugError(Exception):
    """A call that the server refused.

    Attributes:
        reason: The name of the `ErrorReason` without its prefix, such as `CODE_WRONG`; where the server itself did not
            answer, the status code's name.
        text: What a person may read, in the language asked for.
        metadata: Facts for programs, such as `guesses_left`.
        field_violations: The rule that each bad field breaks, by the field's path.
        retry_after: How long to wait before the same call may succeed; None when waiting does not help.
        request_id: Names the call in the server's log.
        code: The gRPC status code's name, such as `UNAUTHENTICATED`.
    """

    reason: str
    text: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    field_violations: Mapping[str, str] = field(default_factory=dict)
    retry_after: timedelta | None = None
    request_id: str = ""
    code: str = "UNKNOWN"

    def __post_init__(self) -> None:
        # What an exception is pickled and copied by, together with its attributes.
        self.args = (self.reason, self.text)

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        fields = "".join(f"\\n  {path}: {rule}" for path, rule in self.field_violations.items())
        return f"{self.reason}: {self.text}{request}{fields}"


class ConnectionLost(SvoyKrugError):
    """The server could not be reached, or went away in mid-call: repeat with the same request id."""
'''


def render(contract: Contract) -> str:
    """Return the source of the module."""
    reasons = [(reason.name, reason.code, reason.comment) for reason in contract.reasons]
    codes = sorted({code for _, code, _ in reasons})
    parts = [_HEAD, *(_class(_camel(code), "SvoyKrugError", f"The status code {code}.") for code in codes)]
    parts += [_class(_class_name(reason), _camel(code), comment) for reason, code, comment in reasons]
    entries = "".join(f'    "{reason}": {_class_name(reason)},\n' for reason, _, _ in reasons)
    parts.append(f"\nBY_REASON: Mapping[str, type[SvoyKrugError]] = {{\n{entries}}}\n")
    by_code = "".join(f'    "{code}": {_camel(code)},\n' for code in codes)
    parts.append(f"\nBY_CODE: Mapping[str, type[SvoyKrugError]] = {{\n{by_code}}}\n")
    return "\n".join(parts)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _class_name(reason: str) -> str:
    """Return a reason's class name; one that is also a status code's name gets `Error` behind it."""
    name = _camel(reason)
    codes = {"Internal", "PermissionDenied", "NotFound", "DeadlineExceeded", "Unauthenticated", "Unavailable"}
    return name + "Error" if name in codes or keyword.iskeyword(name) else name


def _class(name: str, base: str, comment: str) -> str:
    text = textwrap.fill(" ".join(comment.split()), 112, subsequent_indent="    ")
    return f'\nclass {name}({base}):\n    """{text}"""\n'
