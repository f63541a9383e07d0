"""Purchases and refunds: recorded, imported, listed, and carried to the warehouse."""
