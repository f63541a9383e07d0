"""Churn: how likely each member is to buy nothing within a horizon, how good that forecast is, and why she may leave.

Read top to bottom: `features` (what is known of a member at a cutoff) -> `estimator` (fits a model) -> `scorer` (the
model, as numbers that cannot run code) -> `evaluation` (how good it is) -> `reasons`. `warehouse` holds the ClickHouse
SQL, `repository` the Postgres SQL, `training` and `scoring` the long work, `service` the use cases.
"""
