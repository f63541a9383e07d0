"""The Svoy Krug service: sign-in, users, businesses, purchases and analytics over gRPC."""

from importlib.metadata import version

__version__ = version("svoykrug-server")
"""The version of the installed distribution."""
