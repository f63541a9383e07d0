"""Prints what an embedded warehouse holds, as JSON; a process of its own, as the engine opens one folder in each."""

import json
import sys

import clickhouse_connect

# How many rows, how many different ones, their sum, and their hash?
TOTALS = """
    SELECT count(), uniqExact(entry_id), sum(amount_minor),
        sum(reinterpretAsUInt64(reverse(substring(MD5(concat(
            toString(entry_id), '|', toString(business_id), '|', toString(member_id), '|', toString(amount_minor), '|',
            currency, '|', toString(toUnixTimestamp64Micro(purchase_time)), '|', toString(toInt8(kind))
        )), 1, 8))))
    FROM svoykrug.purchases
"""

client = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
print(json.dumps([int(value) for value in client.query(TOTALS).result_rows[0]]))  # noqa: T201  its answer
client.close()
