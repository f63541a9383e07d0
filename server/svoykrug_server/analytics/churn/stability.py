"""How far the members of the latest scorings are from those the models learned from, by kind of scope."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ScopeKind = Literal["circle", "business"]
SCOPE_KINDS: tuple[ScopeKind, ...] = ("circle", "business")


@dataclass(frozen=True, slots=True)
class Stability:
    """How the serving models of the scopes of one kind stand.

    Attributes:
        kind: The circle, or the businesses together: metrics do not tell one from another.
        worst: The largest stability index of each feature over these scopes.
        out_of_date_count: How many of their models are out of date by any feature.
    """

    kind: ScopeKind
    worst: Mapping[str, float] = field(default_factory=dict)
    out_of_date_count: int = 0
