"""Small pieces of HTML: text of the protos with its names in code and its references as links.

Why this exists: every page is made of them, and escaping stands in one place.
"""

import re
from collections.abc import Callable
from html import escape

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Свой Круг</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<script src="docs.js" defer></script>
</head>
<body>
<header><a class="home" href="./">Свой Круг</a><nav>{navigation}</nav></header>
<main>
"""
FOOT = """</main>
<footer>Generated from the protos by <code>make generate</code>. <a href="/openapi.json">OpenAPI 3.1</a></footer>
</body>
</html>
"""
_CODE = re.compile(r"`([^`]+)`")
_LABEL = re.compile(r"^ *(Callers|Errors):", re.MULTILINE)


def page(title: str, navigation: str, body: str) -> str:
    """Return a whole page."""
    return HEAD.format(title=escape(title), navigation=navigation) + body + FOOT


def link(target: str, text: str, *, is_here: bool = False) -> str:
    """Return a link; the text is escaped. A link to the page that it stands on is marked."""
    here = ' aria-current="page"' if is_here else ""
    return f'<a href="{escape(target)}"{here}>{escape(text)}</a>'


def prose(text: str, link_words: Callable[[str], str]) -> str:
    """Return a comment as paragraphs.

    Args:
        text: The comment.
        link_words: Makes links of the names in a piece of escaped text.
    """
    return "".join(f"<p>{_inline(part, link_words)}</p>" for part in text.split("\n\n") if part.strip())


def _inline(text: str, link_words: Callable[[str], str]) -> str:
    marked = _LABEL.sub(r"\n<strong>\1:</strong>", escape(text, quote=False))
    pieces = _CODE.split(marked)
    # The pieces between backticks are at the odd places.
    shown = [f"<code>{piece}</code>" if place % 2 else link_words(piece) for place, piece in enumerate(pieces)]
    return "".join(shown).strip().replace("\n<strong>", "<br><strong>")
