"""The same steps for the synchronous client: their one text, without `async` and `await`.

`asynchronous.py` has the same names as this module, and `svoykrug_client` those of `svoykrug_client.sync`.
"""

import ast
import concurrent.futures
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

CANCELLED = concurrent.futures.CancelledError
block = contextmanager
_MODULES = {
    "svoykrug_client": "svoykrug_client.sync",
    "tests.clients.asynchronous": "tests.clients.blocking",
    "tests.clients.steps": "blocking_steps",
}
_NAMES = {"aiter": "iter", "anext": "next"}


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Makes calls at once, each in a thread of its own, and returns their answers."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(lambda call: call(), calls))


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until a condition holds; see `tests.waiting.until`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.01)


def blocking(source: Path) -> ModuleType:
    """Returns an asynchronous module as one whose functions block; the next one may import from it."""
    tree = _WithoutAsync().visit(ast.parse(source.read_text("utf-8")))
    module = ModuleType(f"blocking_{source.stem}")
    sys.modules[module.__name__] = module
    exec(compile(ast.fix_missing_locations(tree), str(source), "exec"), vars(module))  # noqa: S102  # our own test
    return module


class _WithoutAsync(ast.NodeTransformer):
    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:  # ast's name
        return _as(ast.FunctionDef, self.generic_visit(node))

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:  # ast's name
        return _as(ast.For, self.generic_visit(node))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:  # ast's name
        return _as(ast.With, self.generic_visit(node))

    def visit_Await(self, node: ast.Await) -> ast.AST:  # ast's name
        waited: ast.AST = self.visit(node.value)
        return waited

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        node.is_async = 0
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:  # ast's name
        node.module = _MODULES.get(node.module or "", node.module)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:  # ast's name
        node.id = _NAMES.get(node.id, node.id)
        return node


def _as(kind: type[ast.AST], node: ast.AST) -> ast.AST:
    return ast.copy_location(kind(**dict(ast.iter_fields(node))), node)
