"""Member value: what each member is expected to buy and spend within a horizon, with 80 % intervals.

`docs/decisions/member-value.md` says how the way was chosen. `churn.scoring` computes it beside the scores.
"""
