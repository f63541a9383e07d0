"""The asynchronous Python client of Svoy Krug."""
