"""The Python client of Svoy Krug: asynchronous here, with the same names and blocking calls in `svoykrug_client.sync`.

from svoykrug.users.v1.users_service_pb2 import GetMeRequest
from svoykrug_client import Client

async with Client("127.0.0.1:50051", insecure=True) as client:
    challenge = await client.start_sign_in("+7 999 123-45-67")
    await client.complete_sign_in(challenge, input("code: "))
    me = (await client.users.GetMe(GetMeRequest())).user
"""

from svoykrug import errors

from svoykrug_client._paging import items, pages
from svoykrug_client.client import Client, service_client
from svoykrug_client.service_key import ServiceKey
from svoykrug_client.tokens import FileTokenStore, MemoryTokenStore, SharedTokenStore, StoredSession, TokenStore

__all__ = [
    "Client",
    "FileTokenStore",
    "MemoryTokenStore",
    "ServiceKey",
    "SharedTokenStore",
    "StoredSession",
    "TokenStore",
    "errors",
    "items",
    "pages",
    "service_client",
]
