"""The two stores and everything that opens, migrates and guards them.

PostgreSQL (`postgres.py`) is the system of record; ClickHouse (`warehouse.py`) is the analytics copy. `embedded.py`
starts PostgreSQL from a wheel when no URL is set. `stores.py` opens all of it as the settings say.
"""
