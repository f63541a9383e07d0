"""Every setting, read from the environment (`SVOYKRUG_...`) or a `.env` file. Nothing else reads the environment."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_data_dir() -> Path:
    """Returns the folder used when none is set: the user's data folder; for root, where services keep their state."""
    if os.geteuid() == 0:
        return Path("/var/lib/svoykrug")
    from platformdirs import user_data_path  # noqa: PLC0415  only needed when no folder is set

    return user_data_path("svoykrug", appauthor=False)


class Settings(BaseSettings):
    """The settings of one server. Units are in the names; secrets never print."""

    model_config = SettingsConfigDict(
        env_prefix="SVOYKRUG_", env_file=".env", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    # The stores
    data_dir: Path = Field(default_factory=default_data_dir)
    """Where the embedded stores, their logs and the generated secrets live."""
    minimum_free_disk_mb: int = Field(default=200, ge=0)
    """The server does not start when the data folder's disk has less free space."""
    database_url: SecretStr | None = None
    """`postgresql://user:password@host:port/database`. Unset: an embedded PostgreSQL in the data folder."""
    database_transaction_connections: int = Field(default=10, ge=1)
    """The size of the pool for transactions."""
    database_read_connections: int = Field(default=10, ge=1)
    """The size of the pool for hot reads."""
    database_connect_timeout_seconds: float = Field(default=5.0, gt=0)
    """How long one attempt to connect to PostgreSQL may take."""
    database_statement_timeout_seconds: float = Field(default=60.0, gt=0)
    """The longest any statement may run; a call's own deadline is usually shorter."""
    clickhouse_url: SecretStr | None = None
    """`http://user:password@host:port/`. Unset: an embedded ClickHouse (chDB) in the data folder."""
    clickhouse_database: str = Field(default="svoykrug", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """The database that holds the warehouse's tables."""
    clickhouse_connections: int = Field(default=4, ge=1)
    """How many statements of calls may run in the warehouse at once."""
    clickhouse_background_connections: int = Field(default=2, ge=1)
    """How many background statements (snapshots, features) may run in the warehouse at once, beside those of calls."""
    clickhouse_background_threads: int = Field(default=1, ge=1)
    """How many threads one background statement (snapshot, features) may use while calls are served."""
    clickhouse_timeout_seconds: float = Field(default=300.0, gt=0)
    """The longest any statement may run; a call's own deadline is usually shorter."""

    # Secrets
    secrets_dir: Path | None = None
    """Where named secrets are read from, a file each (see `storage/secrets.py`). Unset: made in the data folder."""
    secrets: dict[str, SecretStr] | None = None
    """The named secrets themselves, as a JSON object of base64 texts, for instance `{"otp_pepper.1": "..."}`."""
