"""`svoykrug-cli at-risk`."""

import csv
import sys
from collections.abc import Iterable
from itertools import islice
from typing import Annotated

import typer
from rich.table import Table
from svoykrug.analytics.v1.analytics_service_pb2 import ListAtRiskMembersRequest
from svoykrug.analytics.v1.churn_pb2 import ChurnScore

from svoykrug_client.cli.connection import connection_of
from svoykrug_client.cli.output import RESULTS
from svoykrug_client.sync import items

_COLUMNS = ("user_id", "probability", "net_spend", "reasons")
_MOST_A_PAGE = 1_000


def at_risk(
    context: typer.Context,
    business: Annotated[str, typer.Option(help="The business, a UUID; the whole circle without it.")] = "",
    min_probability: Annotated[float, typer.Option(min=0, max=1, help="Only who leaves with this probability.")] = 0.5,
    most: Annotated[int, typer.Option(min=1, help="How many to list.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, for a spreadsheet.")] = False,
) -> None:
    """List the members who are likely to leave, the likeliest first."""
    request = ListAtRiskMembersRequest(
        business_id=business, min_probability=min_probability, page_size=min(most, _MOST_A_PAGE)
    )
    with connection_of(context).signed_in() as client:
        members = items(client.analytics.ListAtRiskMembers, request, lambda page: page.members)
        rows = [_row(member) for member in islice(members, most)]
    if as_csv:
        csv.writer(sys.stdout).writerows([_COLUMNS, *rows])
    else:
        _show(rows)


def _row(member: ChurnScore) -> tuple[str, str, str, str]:
    spend = f"{member.net_spend_minor / 100:.2f}"
    reasons = "; ".join(reason.text or reason.feature for reason in member.reasons)
    return member.user_id, f"{member.probability:.3f}", spend, reasons


def _show(rows: Iterable[tuple[str, str, str, str]]) -> None:
    table = Table(*_COLUMNS, box=None)
    for row in rows:
        table.add_row(*row)
    RESULTS.print(table)
