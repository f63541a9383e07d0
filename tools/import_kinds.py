"""An import-linter contract on kinds of modules: only modules of the named kinds may import the named packages.

Why this exists: our rules speak of kinds ("only servicer and convert know protobuf"), and a kind may be a file
(`repository.py`), a file with a word before it (`ledger_repository.py`) or a folder (`repository/`). The contracts
of import-linter itself name modules one by one.
"""

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class KindsContract(Contract):
    """Only modules of the kinds `only`, within `packages`, may import the packages `forbidden` directly.

    Attributes:
        packages: The packages that the rule is about, such as `svoykrug_server.auth`.
        only: The kinds that may, such as `repository`.
        forbidden: The packages that nothing else there may import, such as `sqlalchemy`.
    """

    type_name = "kinds"

    packages: Any = fields.SetField(subfield=fields.StringField())
    only: Any = fields.SetField(subfield=fields.StringField())
    forbidden: Any = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002  # import-linter names it
        """Judge every module of the packages by what it imports itself."""
        broken = []
        for module in sorted(graph.modules):
            if self._concerns(module):
                for imported in sorted(graph.find_modules_directly_imported_by(module)):
                    if imported.partition(".")[0] in self.forbidden:
                        details = graph.get_import_details(importer=module, imported=imported)
                        broken.append(f"{module}:{details[0]['line_number']} imports {imported}")
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def _concerns(self, module: str) -> bool:
        """Return whether a module lies in one of the packages and is of none of the kinds that may."""
        package = next((name for name in self.packages if f"{module}.".startswith(f"{name}.")), None)
        if package is None:
            return False
        parts = module.removeprefix(package).strip(".").split(".")
        return not any(part == kind or part.endswith(f"_{kind}") for part in parts for kind in self.only)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Show every import that breaks the rule."""
        for line in check.metadata["broken"]:
            output.print_error(f"- {line}")
