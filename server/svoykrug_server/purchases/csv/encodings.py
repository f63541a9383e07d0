"""Which encoding a file has, found out from its bytes.

UTF-8 has a form that no other text keeps by chance, so it is tried first, on the whole file. Windows-1251 and KOI8-R
are told apart by how Russian looks: each reading of the same words is weighed by how frequent its letters are, loses by
every capital inside a word (the two encodings have small and capital letters in each other's places), and wins by every
word that names a column.
"""

import codecs
import re
from collections.abc import Mapping
from math import log
from typing import BinaryIO

from svoykrug_server.purchases.csv.columns import KNOWN_WORDS
from svoykrug_server.purchases.csv.model import Problem, UnreadableFile

UTF_8, WINDOWS_1251, UTF_16, KOI8_R = "utf-8", "windows-1251", "utf-16", "koi8-r"

_PIECE_BYTES = 1 << 20
_WEIGHED_BYTES = 1 << 22
_LOOKED_AT_BYTES = 1 << 12
_FOREIGN_WORD = re.compile(rb"[\x80-\xff]+")
_CAPITAL_INSIDE = re.compile(r"[а-яё][А-ЯЁ]")
_HIGH_BYTES_OF_UTF_16 = b"\x00\x04\x20\x21"
"""The high bytes of Latin, Cyrillic, typographic signs and № in UTF-16."""

_LETTERS_PER_10_000: Mapping[str, int] = {
    "о": 1097, "е": 845, "а": 801, "и": 735, "н": 670, "т": 626, "с": 547, "р": 473, "в": 454, "л": 440, "к": 349,
    "м": 321, "д": 298, "п": 281, "у": 262, "я": 201, "ы": 190, "ь": 174, "г": 170, "з": 165, "б": 159, "ч": 144,
    "й": 121, "х": 97, "ж": 94, "ш": 73, "ю": 64, "ц": 48, "щ": 36, "э": 32, "ф": 26, "ъ": 4, "ё": 4,
}  # fmt: skip
"""How frequent each letter is in Russian texts (the Russian National Corpus)."""
_WEIGHT = {letter: log(count) for letter, count in _LETTERS_PER_10_000.items()}
_WEIGHT_OF_NO_LETTER = log(2)
_WEIGHT_OF_CAPITAL_INSIDE = log(1 / 50)
_WEIGHT_OF_KNOWN_WORD = log(1_000_000)


def find_encoding(file: BinaryIO, told: str = "") -> str:
    """Returns the encoding of a file as Python's codecs call it; reads the file from its beginning.

    Args:
        file: The file.
        told: What the caller says it is; empty to find it out.

    Raises:
        UnreadableFile: It is UTF-16 of an odd length, or not the UTF-8 that the caller says.
    """
    file.seek(0)
    beginning = file.read(_LOOKED_AT_BYTES)
    if told == UTF_16 or (not told and _looks_like_utf_16(beginning)):
        return _utf_16(beginning)
    if told in (WINDOWS_1251, KOI8_R):
        return told
    if _is_utf_8(file):
        return "utf-8-sig"
    if told == UTF_8:
        raise UnreadableFile(Problem.ENCODING, encoding=UTF_8)
    return _better_cyrillic(file)


def told_name(codec: str) -> str:
    """Returns what the contract calls a codec."""
    return {"utf-8-sig": UTF_8, "utf-16-le": UTF_16, "utf-16-be": UTF_16}.get(codec, codec)


def _looks_like_utf_16(beginning: bytes) -> bool:
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    return b"\x00" in beginning and max(_share_of_high_bytes(beginning, place) for place in (0, 1)) > 0.9


def _utf_16(beginning: bytes) -> str:
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF_16
    big = _share_of_high_bytes(beginning, 0) > _share_of_high_bytes(beginning, 1)
    return "utf-16-be" if big else "utf-16-le"


def _share_of_high_bytes(beginning: bytes, place: int) -> float:
    """Returns which share of every second byte could be the high byte of a character in UTF-16."""
    seconds = beginning[place::2]
    return sum(seconds.count(byte) for byte in _HIGH_BYTES_OF_UTF_16) / max(1, len(seconds))


def _is_utf_8(file: BinaryIO) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := file.read(_PIECE_BYTES):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _better_cyrillic(file: BinaryIO) -> str:
    file.seek(0)
    words: set[bytes] = set()
    weighed_bytes = 0
    while weighed_bytes < _WEIGHED_BYTES and (piece := file.read(_PIECE_BYTES)):
        found = _FOREIGN_WORD.findall(piece)
        words.update(found)
        weighed_bytes += sum(map(len, found))
    text = b" ".join(words)
    return max((WINDOWS_1251, KOI8_R), key=lambda encoding: _russian_weight(text.decode(encoding, "replace")))


def _russian_weight(text: str) -> float:
    """Returns how much some words look like Russian."""
    lowered = text.lower()
    letters = sum(_WEIGHT.get(sign, _WEIGHT_OF_NO_LETTER) * lowered.count(sign) for sign in set(lowered) - {" "})
    capitals = sum(1 for _ in _CAPITAL_INSIDE.finditer(text)) * _WEIGHT_OF_CAPITAL_INSIDE
    return letters + capitals + len(KNOWN_WORDS.intersection(lowered.split(" "))) * _WEIGHT_OF_KNOWN_WORD
