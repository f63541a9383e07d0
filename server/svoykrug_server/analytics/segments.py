"""The eleven segments, and which scores make which: one table for the SQL, the service and the tests.

The map is the widely published one; see `RULES_VERSION` for what is ours.
"""

from enum import IntEnum


class Segment(IntEnum):
    """A named group of members by their RFM scores; the values are those of the API and of the warehouse."""

    CHAMPIONS = 1
    LOYAL = 2
    POTENTIAL_LOYALIST = 3
    NEW = 4
    PROMISING = 5
    NEED_ATTENTION = 6
    ABOUT_TO_SLEEP = 7
    AT_RISK = 8
    CANT_LOSE = 9
    HIBERNATING = 10
    LOST = 11


RULES_VERSION = "rfm-1"
"""Scores by share with ties together; the eleven-name map; a member in New whose first purchase is over 90 days old
is Potential Loyalist when her frequency score is over 1, else About To Sleep."""

NEW_DAYS = 90
"""Only a member whose first purchase is at most this many days old is new."""

SCORES_BY_SEGMENT: dict[Segment, str] = {
    Segment.CHAMPIONS: "555 554 544 545 454 455 445",
    Segment.LOYAL: "543 444 435 355 354 345 344 335",
    Segment.POTENTIAL_LOYALIST: (
        "553 551 552 541 542 533 532 531 452 451 442 441 431 453 433 432 423 353 352 351 342 341 333 323"
    ),
    Segment.NEW: "512 511 422 421 412 411 311",
    Segment.PROMISING: "525 524 523 522 521 515 514 513 425 424 413 414 415 315 314 313",
    Segment.NEED_ATTENTION: "535 534 443 434 343 334 325 324",
    Segment.ABOUT_TO_SLEEP: "331 321 312 221 213 231 241 251",
    Segment.AT_RISK: "255 254 245 244 253 252 243 242 235 234 225 224 153 152 145 143 142 135 134 133 125 124",
    Segment.CANT_LOSE: "155 154 144 214 215 115 114 113",
    Segment.HIBERNATING: "332 322 233 232 223 222 132 123 122 212 211",
    Segment.LOST: "111 112 121 131 141 151",
}
"""The 125 cells: recency, frequency and monetary score as three digits."""

SEGMENT_BY_SCORES: dict[int, Segment] = {
    int(scores): segment for segment, cells in SCORES_BY_SEGMENT.items() for scores in cells.split()
}
"""The same the other way round: 555 is Champions."""
