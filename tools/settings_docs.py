"""Write `docs/settings.md`: every setting of the server, from the one class that reads them.

Why this exists: a table written by hand is wrong the day after a setting changes.
"""

from pydantic.fields import FieldInfo

from svoykrug_server.config import Settings

_HEAD = """# Settings

Generated from the `Settings` class by `make generate`. Every setting is an environment variable, or a line of
`.env` in the folder the server is started in. None is needed: without any, `svoykrug serve` runs on embedded stores.
A list or an object is written as JSON; what is empty is not set.

| variable | default | what it does |
| --- | --- | --- |
"""


def render() -> str:
    """Return the page."""
    prefix = str(Settings.model_config["env_prefix"])
    rows = [
        f"| `{prefix}{name.upper()}` | {_default(field)} | {' '.join((field.description or '').split())} |"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    """Return a field's default as one would write it in the environment; empty where there is none to write."""
    if field.default_factory is not None or field.default is None:
        return ""
    value = field.default
    if isinstance(value, tuple | list | dict):
        text = str(list(value) if isinstance(value, tuple) else value).replace("'", '"')
        return f"`{text}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
