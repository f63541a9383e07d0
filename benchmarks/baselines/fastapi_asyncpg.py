"""FastAPI on the product's own statement, prepared, on a pool of asyncpg that is not reset between callers.

The fastest FastAPI we know how to write and still call FastAPI: a Pydantic answer, dependencies, no ORM.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request

from benchmarks.baselines.answers import CONNECTIONS, UserAnswer, arguments, serve
from benchmarks.baselines.tokens import Tokens

GET_ME = Path(__file__).with_name("get_me.sql").read_text().replace(":user_id", "$1")


async def _keep_session(_: Any) -> None:
    """Undoes nothing: nobody changes the session."""


def application(database: str, tokens: Tokens) -> FastAPI:
    """Returns the application.

    Args:
        database: The URL of PostgreSQL.
        tokens: Says whose a token is.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            database, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=_keep_session, max_cached_statement_lifetime=0
        ) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/users/me")
    async def get_me(user_id: Annotated[UUID, Depends(tokens)], request: Request) -> UserAnswer:
        async with request.app.state.pool.acquire() as connection:
            row = await connection.fetchrow(GET_ME, user_id)
        if row is None:
            raise HTTPException(403)
        return UserAnswer(**row)

    return app


def main() -> None:
    """Serves."""
    asked = arguments()
    serve(application(asked.database, Tokens(asked.public_key, remember=asked.remember_tokens)), asked.port)


if __name__ == "__main__":
    main()
