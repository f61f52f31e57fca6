"""CockroachDB's DDL as PostgreSQL can read it."""

from __future__ import annotations

import re


def portable(statement: str) -> str:
    """Take off what PostgreSQL has no word for."""
    if statement.startswith("alter database") or " split at values" in statement:
        return ""
    statement = re.sub(r"\) locality [\w \"]+$", ")", statement)
    statement = re.sub(r" using hash with \(bucket_count = \d+\)$", "", statement)
    return re.sub(r"^(drop index if exists )\w+@", r"\1", statement)
