"""Payments of one region: idempotent, with a double-entry ledger."""
