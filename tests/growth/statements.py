"""Which statements stand in the server's constants, and which of them no call was seen to send."""

import importlib
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping, Set

from sqlalchemy import TextClause

import svoykrug_server

_CLICKHOUSE, _FORGETTING, _JOB = "asked of ClickHouse", "housekeeping", "a job, an operation or the scheduler"
_WORKER, _RELAY, _ERASER = "what sends SMS and asks for receipts", "the relay, the proof and the rebuild", "the eraser"
_TIERS, _LISTENER, _COMMAND = "the round of tiers", "what listens and watches", "a command of the operator"
# Which statements does no call send, by module, and who does? (`*` for all of the module)
NOT_OF_CALLS: Mapping[str, Mapping[str, str]] = {
    "analytics.build_rows": {_CLICKHOUSE: "*"},
    "analytics.churn.repository": {_JOB: "_DOCUMENT _LENDERS _UNGRADED"},
    "analytics.churn.stability_repository": {_JOB: "*"},
    "analytics.churn.statements": {_CLICKHOUSE: "*"},
    "analytics.dashboards.repository": {_LISTENER: "_TOUCHED"},
    "analytics.dashboards.statements": {_CLICKHOUSE: "*"},
    "analytics.freshness.repository": {_JOB: "_DISPUTED"},
    "analytics.remaking.repository": {_JOB: "*"},
    "analytics.scheduled.repository": {_JOB: "*"},
    "analytics.warehouse": {_CLICKHOUSE: "*"},
    "auth.repository.last_seen": {_FORGETTING: "_FORGET"},
    "auth.repository.prefixes": {_FORGETTING: "_FORGET"},
    "auth.repository.revocation_feed": {_FORGETTING: "_FORGET", _LISTENER: "_LIVE"},
    "auth.repository.service_accounts": {_FORGETTING: "_FORGET", _COMMAND: "_NAMED"},
    "auth.repository.sessions": {_FORGETTING: "_FORGET"},
    "auth.repository.sms_deliveries": {_WORKER: "_ASK_AGAIN _CLAIM _RECORD"},
    "auth.repository.sms_messages": {
        _FORGETTING: "_FORGET",
        _WORKER: "_CLAIM _END _LOCK _RECORD_ATTEMPTS _RECORD_DOUBTS _RETRY _SENT",
    },
    "operations.schedule.repository": {_JOB: "_LOCK"},
    "purchases.csv.repository": {_FORGETTING: "_FORGET_ROWS", _JOB: "_ADD_REJECTED _CHUNK"},
    "purchases.csv.trial_repository": {_JOB: "_CONFLICTS _TRY"},
    "purchases.erasure_repository": {_ERASER: "_HASH _WITH_EXTERNAL_ID"},
    "purchases.pipeline_repository": {
        _RELAY: "LEDGER_ROWS _COPY_BATCHES _COPY_DAY _DISPUTED _END_REBUILD _FULL_PROOF_TIME _INGEST_TIMES"
        " _NEXT_SHIPPED _NOTE_FULL_PROOF _TOUCH_AGAIN _TOUCH_ALL _TOUCH_DAYS _WANT_REBUILD",
        _COMMAND: "_REQUEST_REBUILD",
    },
    "purchases.rejections_repository": {_FORGETTING: "_FORGET"},
    "purchases.reports_repository": {_FORGETTING: "_FORGET"},
    "purchases.retention_repository": {_JOB: "*"},
    "purchases.retention_warehouse": {_CLICKHOUSE: "*"},
    "purchases.warehouse": {_CLICKHOUSE: "*"},
    "storage.old_rows": {_JOB: "*"},
    "storage.outbox": {
        _RELAY: "_CLAIM _LAST_SEAL _LEAD _MARK_SHIPPED _MOVE_WATERMARK _NOTE_CLEAN_SEAL _RELEASE_LEASE _SEAL"
        " _TAKE_LEASE _UNSHIPPED _WANT_REBUILD_OF_SHIPPED"
    },
    "users.membership.tier_repository": {
        _TIERS: "_ANY_DUE _BEGIN_NIGHT _CHANGE _DUE_MEMBERS _END_NIGHT _LOCK_NIGHT _MOVE_NIGHT _NEXT_MEMBERS"
        " _TAKE_DUE _TOP_SPEND"
    },
    "users.membership.wallet_repository": {_FORGETTING: "_FORGET_CODES _FORGET_GUESSES"},
    "users.number_ban_repository": {_FORGETTING: "_FORGET"},
    "users.personal_data.export_repository": {_CLICKHOUSE: "_WAREHOUSE_COLUMNS"},
    "users.personal_data.repository": {_ERASER: "_CLAIM _FINISH _LOCK_RUNNING"},
}
_SQL = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b")
_PARAMETER = re.compile(r"\$\d+|(?<![:\w]):[a-z]\w*")


def wrong(sent: Collection[str]) -> Set[str]:
    """Returns the statements that no call sent and that are not known for it, and those that are, though one did."""
    found, said = dict(_constants()), {_plain(text) for text in sent}
    unsent = {name for name, value in found.items() if not _is_sent(value, said)}
    known = {name for name in found if _is_of_none(*name.rpartition(".")[::2])}
    return unsent ^ known


def _constants() -> Iterator[tuple[str, str | TextClause]]:
    """Yields each statement, or part of one, once: by the module that wrote it."""
    seen: set[str] = set()
    for module in pkgutil.walk_packages(svoykrug_server.__path__, "svoykrug_server."):
        if not module.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(module.name)).items():
                text = value.text if isinstance(value, TextClause) else value
                if isinstance(text, str) and _SQL.match(text) and text not in seen:
                    seen.add(text)
                    yield f"{module.name.partition('.')[2]}.{name}", value


def _is_of_none(module: str, constant: str) -> bool:
    names = " ".join(NOT_OF_CALLS.get(module, {}).values()).split()
    return constant in names or "*" in names


def _is_sent(value: str | TextClause, sent: Set[str]) -> bool:
    """Tells whether a statement was sent, or one that a text without a dialect is a part of."""
    if isinstance(value, TextClause):
        return _plain(value.text) in sent
    part = re.compile(re.sub(r"\\{\w+\\}", ".*", re.escape(_plain(value))))
    return any(part.search(text) for text in sent)


def _plain(text: str) -> str:
    return " ".join(_PARAMETER.sub("?", text).split())
