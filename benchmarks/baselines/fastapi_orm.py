"""The plan we replace: FastAPI, Pydantic, and a session of the SQLAlchemy ORM for each call.

Written as the documentation of each has it: an engine with a pool of fixed size, `expire_on_commit=False`, a session
for each call by a dependency, `session.get`, the answer as a Pydantic model. It leaves out her roles at businesses,
which would be a second statement here: that flatters it.
"""

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import ARRAY, Text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.baselines.answers import CONNECTIONS, UserAnswer, arguments, serve
from benchmarks.baselines.tokens import Tokens


class Base(DeclarativeBase):
    """The tables."""


class User(Base):
    """A user."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    phone: Mapped[str | None]
    display_name: Mapped[str]
    email: Mapped[str]
    birth_date: Mapped[date | None]
    locale: Mapped[str]
    tier: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    status: Mapped[str]
    version: Mapped[int]
    referral_code: Mapped[str | None]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]


def application(database: str, tokens: Tokens) -> FastAPI:
    """Returns the application.

    Args:
        database: The URL of PostgreSQL.
        tokens: Says whose a token is.
    """
    engine = create_async_engine(
        database.replace("postgresql://", "postgresql+asyncpg://"), pool_size=CONNECTIONS, max_overflow=0
    )
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    app = FastAPI()

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    @app.get("/v1/users/me")
    async def get_me(
        user_id: Annotated[UUID, Depends(tokens)], session: Annotated[AsyncSession, Depends(session)]
    ) -> UserAnswer:
        user = await session.get(User, user_id)
        if user is None:
            raise HTTPException(403)
        return UserAnswer.model_validate(user)

    return app


def main() -> None:
    """Serves."""
    asked = arguments()
    serve(application(asked.database, Tokens(asked.public_key, remember=asked.remember_tokens)), asked.port)


if __name__ == "__main__":
    main()
