"""RFM, segments and movements once more, in pandas, from the definitions alone: shares no code with the server.

A ledger is a table of raw purchases, one row an entry, with the columns `LEDGER`. Whoever has raw purchases can make
one: the tests from random circles, `demo/check_analytics.py` from Complete Journey.
"""

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from tests.analytics.circles import Entry

DESIGN = """
- Champions 555 554 544 545 454 455 445
- Loyal 543 444 435 355 354 345 344 335
- Potential Loyalist 553 551 552 541 542 533 532 531 452 451 442 441 431 453 433 432 423 353 352 351 342 341 333 323
- New 512 511 422 421 412 411 311
- Promising 525 524 523 522 521 515 514 513 425 424 413 414 415 315 314 313
- Need Attention 535 534 443 434 343 334 325 324
- About To Sleep 331 321 312 221 213 231 241 251
- At Risk 255 254 245 244 253 252 243 242 235 234 225 224 153 152 145 143 142 135 134 133 125 124
- Can't Lose 155 154 144 214 215 115 114 113
- Hibernating 332 322 233 232 223 222 132 123 122 212 211
- Lost 111 112 121 131 141 151
"""
"""The design's words, copied."""

LEDGER = [
    "purchase_id",
    "business_id",
    "member_id",
    "kind",
    "amount_minor",
    "purchase_time",
    "ingest_time",
    "sensitive",
]
COLUMNS = ["segment", "recency_days", "purchase_count", "net_spend_minor", "r", "f", "m"]


def ledger(entries: Sequence[Entry]) -> pd.DataFrame:
    """Returns the ledger of a random circle."""
    return pd.DataFrame([[getattr(entry, name) for name in LEDGER] for entry in entries], columns=LEDGER)


def in_scope(rows: pd.DataFrame, business_id: Hashable | None) -> pd.DataFrame:
    """Returns the entries of a business, or, for None, those of the circle: all that are not sensitive."""
    return rows[~rows["sensitive"]] if business_id is None else rows[rows["business_id"] == business_id]


def design_cells() -> dict[str, str]:
    """Returns the segment's name by scores, such as `Champions` by `555`, read from the design's words."""
    cells: dict[str, str] = {}
    for line in DESIGN.strip().splitlines():
        words = line.removeprefix("- ").split()
        scores = [word for word in words if word.isdigit()]
        cells |= dict.fromkeys(scores, " ".join(words[: len(words) - len(scores)]))
    return cells


def snapshot(
    rows: pd.DataFrame,
    business_id: Hashable | None,
    cutoff: datetime,
    window_days: int,
    watermark: datetime,
    zone: ZoneInfo,
) -> pd.DataFrame:
    """Returns one row a member, indexed by member id, with the columns `COLUMNS`; segments by their names."""
    known = in_scope(rows, business_id)
    kept = _kept(known[(known["ingest_time"] <= watermark) & (known["purchase_time"] < cutoff)])
    start = (cutoff.astimezone(zone) - timedelta(days=window_days)).astimezone(UTC)
    window = kept[kept["purchase_time"] >= start]
    by_member = window.groupby("member_id")
    members = pd.DataFrame(
        {
            "last": by_member["purchase_time"].max(),
            "purchase_count": by_member.size(),
            "net_spend_minor": by_member["net"].sum(),
        }
    )
    members["recency_days"] = [_days(last, cutoff, zone) for last in members["last"]]
    first = kept.groupby("member_id")["purchase_time"].min()
    members["age"] = [_days(first[member_id], cutoff, zone) for member_id in members.index]
    members["r"] = _score(-members["recency_days"])
    members["f"] = _score(members["purchase_count"])
    members["m"] = _score(members["net_spend_minor"])
    cells, scores = design_cells(), members[["r", "f", "m", "age"]].to_numpy(dtype="int64").tolist()
    members["segment"] = [_segment(cells, *map(int, row)) for row in scores]
    return members[COLUMNS].sort_index()


def summary(members: pd.DataFrame) -> dict[str, tuple[int, int, int, int]]:
    """Returns members, net spend, purchases and the sum of the recency days of each segment that is not empty."""
    by_segment = members.groupby("segment")
    figures = by_segment.agg(
        {"purchase_count": ["size", "sum"], "net_spend_minor": ["sum"], "recency_days": ["sum"]}
    ).to_numpy(dtype="int64")
    names = [str(name) for name in by_segment.groups]
    return {
        name: (int(row[0]), int(row[2]), int(row[1]), int(row[3])) for name, row in zip(names, figures, strict=True)
    }


def movements(earlier: pd.DataFrame, later: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Returns how many members went from which segment to which; an empty name is being in no segment."""
    both = pd.concat({"from": earlier["segment"], "to": later["segment"]}, axis=1).fillna("")
    return {(str(way[0]), str(way[1])): len(hers) for way, hers in both.groupby(["from", "to"])}


def _kept(known: pd.DataFrame) -> pd.DataFrame:
    """Returns the purchases that are neither reversed nor fully refunded, with what is left of each."""
    bought = known[known["kind"] == "purchase"].set_index("purchase_id")
    refunds = known[known["kind"] == "refund"].groupby("purchase_id")["amount_minor"].sum()
    reversed_ids = known[known["kind"] == "reversal"]["purchase_id"]
    left = bought["amount_minor"] + refunds.reindex(bought.index).fillna(0).astype("int64")
    alive = ~bought.index.isin(reversed_ids) & ((left > 0) | (bought["amount_minor"] == 0))
    return bought.assign(net=left)[alive]


def _days(moment: datetime, cutoff: datetime, zone: ZoneInfo) -> int:
    return (cutoff.astimezone(zone).date() - moment.astimezone(zone).date()).days


def _score(values: "pd.Series[int]") -> "pd.Series[int]":
    """Scores 1 to 5 by the share of members whose value is strictly smaller."""
    worse = [int((values < value).sum()) for value in values]
    scores = [min(5, 1 + 5 * count // len(values)) for count in worse]
    return pd.Series(scores, index=values.index, dtype="int64")


def _segment(cells: dict[str, str], r: int, f: int, m: int, age_days: int) -> str:
    name = cells[f"{r}{f}{m}"]
    if name == "New" and age_days > 90:
        return "Potential Loyalist" if f > 1 else "About To Sleep"
    return name
