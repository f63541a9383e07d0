"""Write `docs/access.md` (method x caller) and `docs/errors.md` (the error catalogue) from the contract.

Why this exists: who may call what, and what every error means, are stated once, in the protos; these are their tables
for a person who reads.
"""

import textwrap
from collections.abc import Iterator
from itertools import groupby

from contract import COMMON_REASONS, Contract, Method, Reason

CALLERS = ("PUBLIC", "MEMBER", "DELETED_MEMBER", "BUSINESS_STAFF", "BUSINESS_OWNER", "SERVICE", "ADMIN", "SUPERADMIN")
# Who may do what another may: an owner is staff too, a superadmin is an admin too.
IMPLIED = {"BUSINESS_OWNER": "BUSINESS_STAFF", "SUPERADMIN": "ADMIN"}

ACCESS_HEAD = """# Who may call what

Generated from the access rules in the protos by `make generate`. The server refuses to start when a method has none,
and judges the caller before it validates or looks anything up. "yes" is that kind of caller; "own" is a caller at the
business that the request names; a service account needs the scope shown. A superadmin may do what an admin may, an
owner what staff may. A deleted member is a person who deleted her account and is not erased yet.
"""

ERRORS_HEAD = """# Errors

Generated from the error catalogue (`svoykrug.common.v1.ErrorReason`) by `make generate`. Every refusal is a
`google.rpc.Status` with one `google.rpc.ErrorInfo` whose `reason` is a name of this table and whose `domain` is
`svoykrug`; branch on the reason, show the `google.rpc.LocalizedMessage`. An error marked "again" carries
`google.rpc.RetryInfo`: the same call may succeed after that time.
"""


def cell(method: Method, caller: str) -> str:
    """Return what stands in the table for one method and one kind of caller."""
    if "PUBLIC" in method.callers:
        return "yes"
    if caller not in method.callers and IMPLIED.get(caller) not in method.callers:
        return ""
    if caller == "SERVICE":
        return f"`{method.scope}`"
    return "own" if caller.startswith("BUSINESS_") else "yes"


def row(cells: tuple[str, ...] | list[str]) -> str:
    """Return one line of a Markdown table."""
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in cells)} |"


def access_lines(contract: Contract) -> Iterator[str]:
    """Yield the lines of docs/access.md."""
    yield ACCESS_HEAD
    heads = ["method", *(caller.lower().replace("_", " ") for caller in CALLERS)]
    for service, methods in groupby(contract.methods, key=lambda method: method.service):
        yield f"## {service}\n"
        yield row(heads)
        yield row(["---"] * len(heads))
        for method in methods:
            yield row([method.name, *(cell(method, caller) for caller in CALLERS)])
        yield ""


def error_row(reason: Reason) -> str:
    """Return the line of one reason."""
    meaning = " ".join(reason.comment.split())
    again = "again" if reason.retryable else ""
    return row([f"`{reason.name}`", reason.code, again, meaning, reason.text_en, reason.text_ru])


def error_lines(contract: Contract) -> Iterator[str]:
    """Yield the lines of docs/errors.md."""
    yield ERRORS_HEAD
    common = ", ".join(f"`{name}`" for name in COMMON_REASONS)
    yield textwrap.fill(f"The comment of a method names its errors. Beyond them any method may answer {common}.", 120)
    yield ""
    heads = ["reason", "status code", "", "meaning", "text (en)", "text (ru)"]
    yield row(heads)
    yield row(["---"] * len(heads))
    yield from map(error_row, contract.reasons)


def render(contract: Contract) -> dict[str, str]:
    """Return path -> text of every document made from the contract."""
    return {
        "docs/access.md": "\n".join(access_lines(contract)).rstrip() + "\n",
        "docs/errors.md": "\n".join(error_lines(contract)) + "\n",
    }
