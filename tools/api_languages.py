"""How an example is shown, by what its reader calls the language or the tool."""

from collections.abc import Callable

from api_commands import in_buf, in_curl, in_grpcurl
from api_examples import Example
from api_go import in_go
from api_kotlin import in_kotlin
from api_python import in_python
from api_typescript import in_typescript

LANGUAGES: dict[str, Callable[[Example], str]] = {
    "curl": in_curl,
    "grpcurl": in_grpcurl,
    "buf curl": in_buf,
    "Python": in_python,
    "TypeScript": in_typescript,
    "Kotlin": in_kotlin,
    "Go": in_go,
}
"""Each returns the text of a call; an empty one means that it cannot be made so."""
