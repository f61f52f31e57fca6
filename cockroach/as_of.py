"""A SELECT of CockroachDB's dialect as its followers answer it: in the past."""

from __future__ import annotations

import re
from functools import lru_cache

_AS_OF = " AS OF SYSTEM TIME follower_read_timestamp()"
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[()]|[A-Za-z_][\w$]*", re.IGNORECASE
)
_AFTER_FROM = frozenset(
    {"WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH"}
)
_REFUSED = frozenset({"UNION", "INTERSECT", "EXCEPT", "FOR", "INTO"})


class StaleStatementError(ValueError):
    """The statement cannot be read in the past: no plain SELECT with one FROM."""


@lru_cache(maxsize=512)
def as_of(statement: str) -> str:
    """Let a SELECT be answered by followers; CockroachDB's dialect only.

    The clause follows the outermost FROM and holds for the whole statement. It takes
    no placeholder. Raises StaleStatementError on anything but one plain SELECT.
    """
    depth = 0
    found = False
    first = True
    for token in _TOKEN.finditer(statement):
        word = token[0].upper()
        if word in {"(", ")"}:
            depth += 1 if word == "(" else -1
        elif depth:
            continue
        elif first:
            first = False
            if word not in {"SELECT", "WITH"}:
                raise StaleStatementError(f"no SELECT: {statement[:60]!r}")
        elif word in {"INSERT", "UPDATE", "DELETE", "UPSERT"} or word in _REFUSED:
            raise StaleStatementError(f"not readable in the past: {word}")
        elif word == "FROM":
            found = True
        elif found and word in _AFTER_FROM:
            before = statement[: token.start()].rstrip()
            rest = statement[token.start() :]
            _refuse_more(rest)
            return f"{before}{_AS_OF} {rest}"
    if not found:
        raise StaleStatementError("nothing is read: there is no FROM")
    return statement.rstrip().rstrip(";") + _AS_OF


def _refuse_more(rest: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(rest):
        word = token[0].upper()
        if word in {"(", ")"}:
            depth += 1 if word == "(" else -1
        elif not depth and word in _REFUSED:
            raise StaleStatementError(f"not readable in the past: {word}")
