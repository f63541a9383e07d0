"""Dashboards, cohorts and the cross-business matrix: what a scope sold to whom, and how that goes on."""
