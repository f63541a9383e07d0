"""The product, but each GetMe has a round trip to PostgreSQL of its own, as everybody it is compared with has.

What it gains by sharing them (docs/decisions/gathered-reads.md) is the difference to the product as it is.
"""

from svoykrug_server.cli import main
from svoykrug_server.storage.gathering import Gathering, Key, Value


async def _alone(gathering: Gathering[Key, Value], key: Key) -> Value | None:
    return await gathering._read_one(key)  # noqa: SLF001  what it does itself for whoever comes alone


if __name__ == "__main__":
    Gathering.get = _alone  # type: ignore[assignment, method-assign]  # for this process
    main()
