"""Runs statements on an embedded warehouse; a process of its own, as the engine opens one folder in each.

`python ask_warehouse.py FOLDER STATEMENT...` prints the rows of each as JSON.
"""

import json
import sys

import clickhouse_connect

client = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
client.command("USE svoykrug")
answers = [[list(row) for row in client.query(statement).result_rows] for statement in sys.argv[2:]]
print(json.dumps(answers, default=str))  # noqa: T201  its answer
client.close()
