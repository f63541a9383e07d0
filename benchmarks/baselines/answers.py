"""What the FastAPI baselines answer and how they are served."""

import argparse
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

CONNECTIONS = 10
"""How many connections to PostgreSQL a server has: as many as the product's pool of hot reads."""


class UserAnswer(BaseModel):
    """A profile, with the fields of the product's `User`."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    phone: str | None
    display_name: str
    email: str
    birth_date: date | None
    locale: str
    tier: str
    roles: list[str]
    staff: list[str] = []
    status: str
    version: int
    referral_code: str | None
    create_time: datetime
    update_time: datetime


def arguments() -> argparse.Namespace:
    """Reads what every FastAPI baseline is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", required=True, help="postgresql://...")
    parser.add_argument("--public-key", type=Path, required=True)
    parser.add_argument("--private-key", type=Path, help="signs access tokens, where a baseline gives any")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--remember-tokens", action="store_true")
    return parser.parse_args()


def serve(app: FastAPI, port: int) -> None:
    """Serves as uvicorn's documentation has it for speed: uvloop, httptools, no log of accesses; one process."""
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")
