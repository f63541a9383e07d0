"""The plan we replace: FastAPI, Pydantic, and a session of the SQLAlchemy ORM for each call.

Written as the documentation of each has it: an engine with a pool of fixed size, `expire_on_commit=False`, a session
for each call by a dependency, `session.get`, the answer as a Pydantic model. It leaves out her roles at businesses,
which would be a second statement here: that flatters it. A session begins and ends a transaction for its read, as it
does unless told otherwise; an engine that commits by itself would spare the read that (`fastapi_asyncpg.py` has none).

Besides GetMe it has UpdateMe and, given a private key, RefreshTokens: the plan's first routes were sign-in and users,
and it says nothing of tiers, purchases and insights as calls. They do the least that is right: a lock on the row, one
commit. There is no repeated request that gives the same answer, no trace of who changed what, and no session that ends
when a refresh token comes back a second time, all of which the product has: that flatters it, too.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import ARRAY, DateTime, Text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.baselines.answers import CONNECTIONS, UserAnswer, arguments, serve
from benchmarks.baselines.tokens import Signer, Tokens

REFRESH_LIFE = timedelta(days=30)


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
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class RefreshToken(Base):
    """A refresh token, good once; known by its hash."""

    __tablename__ = "plain_refresh_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    expire_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ProfileChange(BaseModel):
    """What she changes of her profile."""

    display_name: str = Field(max_length=100)


class RefreshRequest(BaseModel):
    """A refresh token to be changed for new tokens."""

    refresh_token: str


class TokensAnswer(BaseModel):
    """New tokens."""

    access_token: str
    refresh_token: str


def application(database: str, tokens: Tokens, signer: Signer | None = None) -> FastAPI:
    """Returns the application.

    Args:
        database: The URL of PostgreSQL.
        tokens: Says whose a token is.
        signer: Makes access tokens; without it none can be refreshed.
    """
    engine = create_async_engine(
        database.replace("postgresql://", "postgresql+asyncpg://"), pool_size=CONNECTIONS, max_overflow=0
    )
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if signer is not None:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
        yield

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    app = FastAPI(lifespan=lifespan)
    caller, opened_session = Depends(tokens), Depends(session)
    _add_profile(app, caller, opened_session)
    if signer is not None:
        _add_refreshing(app, signer, opened_session)
    return app


def _add_profile(app: FastAPI, caller: Any, opened_session: Any) -> None:
    @app.get("/v1/users/me")
    async def get_me(user_id: Annotated[UUID, caller], session: Annotated[AsyncSession, opened_session]) -> UserAnswer:
        user = await session.get(User, user_id)
        if user is None:
            raise HTTPException(403)
        return UserAnswer.model_validate(user)

    @app.patch("/v1/users/me")
    async def update_me(
        change: ProfileChange, user_id: Annotated[UUID, caller], session: Annotated[AsyncSession, opened_session]
    ) -> UserAnswer:
        user = await session.get(User, user_id, with_for_update=True)
        if user is None:
            raise HTTPException(403)
        user.display_name = change.display_name
        user.version += 1
        user.update_time = datetime.now(UTC)
        await session.commit()
        return UserAnswer.model_validate(user)


def _add_refreshing(app: FastAPI, signer: Signer, opened_session: Any) -> None:
    @app.post("/v1/auth/refresh")
    async def refresh_tokens(asked: RefreshRequest, session: Annotated[AsyncSession, opened_session]) -> TokensAnswer:
        known = await session.get(RefreshToken, _hash(asked.refresh_token), with_for_update=True)
        now = datetime.now(UTC)
        if known is None or known.expire_time <= now:
            raise HTTPException(401)
        token = secrets.token_urlsafe(64)
        await session.delete(known)
        session.add(RefreshToken(hash=_hash(token), user_id=known.user_id, expire_time=now + REFRESH_LIFE))
        await session.commit()
        return TokensAnswer(access_token=signer(known.user_id), refresh_token=token)


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def main() -> None:
    """Serves."""
    asked = arguments()
    tokens = Tokens(asked.public_key, remember=asked.remember_tokens)
    signer = None if asked.private_key is None else Signer(asked.private_key)
    serve(application(asked.database, tokens, signer), asked.port)


if __name__ == "__main__":
    main()
