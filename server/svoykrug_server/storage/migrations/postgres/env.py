"""Alembic's environment: runs the migrations on the connection that `storage.migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

from svoykrug_server.storage.schema import load_all


def run() -> None:
    """Runs every pending migration in the caller's transaction."""
    connection = context.config.attributes["connection"]
    if not isinstance(connection, Connection):
        raise TypeError("run the migrations with `svoykrug migrate`, which hands over its connection")
    context.configure(connection=connection, target_metadata=load_all(), compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


run()
