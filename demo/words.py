"""Names and numbers as a person reads them."""

from svoykrug.analytics.v1.snapshot_pb2 import Segment

_NAMES = {"CANT_LOSE": "Can't Lose"}


def segment_name(segment: "Segment.ValueType") -> str:
    """Returns a segment's name, such as `About To Sleep`; `none` for members who are in no segment."""
    name = Segment.Name(segment).removeprefix("SEGMENT_")
    return "none" if name == "UNSPECIFIED" else _NAMES.get(name, name.replace("_", " ").title())


def money(amount_minor: int, currency_code: str) -> str:
    """Returns an amount such as `1,234.56 USD`."""
    return f"{amount_minor / 100:,.2f} {currency_code}"
