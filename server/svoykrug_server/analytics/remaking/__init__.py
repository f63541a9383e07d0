"""Snapshots and scorings whose rows were lost with a warehouse are made again, from the same plan, to the last bit."""
