"""The synchronous Python client of Svoy Krug: the same names as in `svoykrug_client`, and every call blocks.

from svoykrug.users.v1.users_service_pb2 import GetMeRequest
from svoykrug_client.sync import Client

with Client("127.0.0.1:50051", insecure=True) as client:
    challenge = client.start_sign_in("+7 999 123-45-67")
    client.complete_sign_in(challenge, input("code: "))
    me = client.users.GetMe(GetMeRequest()).user
"""

from svoykrug import errors

from svoykrug_client.service_key import ServiceKey
from svoykrug_client.sync._paging import items, pages
from svoykrug_client.sync.client import Client, service_client
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
