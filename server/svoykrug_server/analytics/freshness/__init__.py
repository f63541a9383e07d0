"""Freshness: how far the warehouse has followed PostgreSQL, and the proof that both hold the same."""
