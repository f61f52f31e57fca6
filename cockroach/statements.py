"""What a statement does, read from its text: operation, tables, and a short summary.

Only names leave this module, never values. Follows OpenTelemetry's rules for
db.query.summary: operations and tables in order of appearance.
"""

from __future__ import annotations

import re
from functools import lru_cache

from observability import names

_TOKEN = re.compile(
    r"(?<!FOR )(?<!DO )(?<!KEY )\b(?P<verb>SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM)\b"
    r"(?:\s+(?:ONLY\s+)?(?P<target>[\w.\"]+))?"
    r"|(?<!DISTINCT )\b(?:FROM|JOIN)\s+(?P<source>[\w.\"]+)(?!\w|\s*\()",
    re.IGNORECASE,
)
_CTE = re.compile(
    r"(?:\bWITH\s+(?:RECURSIVE\s+)?|,\s*)([\w\"]+)\s+AS\s*\(", re.IGNORECASE
)
_CONTROL = {
    "BEGIN": names.SPAN_BEGIN,
    "COMMIT": names.SPAN_COMMIT,
    "ROLLBACK": names.SPAN_ROLLBACK,
}
_WRITE = re.compile(
    r"\b(INSERT|UPDATE|DELETE|MERGE|UPSERT|CALL|TRUNCATE)\b", re.IGNORECASE
)


@lru_cache(maxsize=1024)
def describe(text: str) -> tuple[str, dict[str, str]]:
    """Name the span of a statement and give its constant attributes."""
    first = text.lstrip().split(None, 1)[0].upper() if text.strip() else "QUERY"
    if first in _CONTROL:
        operation = summary = _CONTROL[first]
        tables: list[str] = []
    else:
        operation, tables, summary = _summary(text, first)
        if first == "EXPLAIN":
            # It reads and writes nothing of what it names.
            operation, summary = first, f"{first} {summary}"
    attributes = {
        names.DB_OPERATION: operation,
        names.DB_QUERY_SUMMARY: summary,
        names.DB_QUERY_TEXT: text,
    }
    if tables:
        attributes[names.DB_COLLECTION] = tables[0]
    return summary, attributes


@lru_cache(maxsize=1024)
def writes(text: str) -> bool:
    """Tell whether a statement could change rows; FOR UPDATE counts as a write."""
    return _WRITE.search(text) is not None


def controls(text: str) -> bool:
    """Tell whether a statement is BEGIN, COMMIT or ROLLBACK, which have no plan."""
    return describe(text)[0] in names.TRANSACTION_CONTROL


def _summary(text: str, first: str) -> tuple[str, list[str], str]:
    ctes = {name.strip('"').lower() for name in _CTE.findall(text)}
    operation = ""
    tables: list[str] = []
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        verb = match["verb"]
        name = match["source"]
        if verb is not None:
            verb = verb.split()[0].upper()
            name = match["target"] if verb != "SELECT" else None
            if verb != "SELECT" or not words:
                words.append(verb)
            if not operation or operation == "SELECT":
                operation = verb
        if name is None:
            continue
        name = name.strip('"')
        if name.lower() in ctes or name in tables:
            continue
        tables.append(name)
        words.append(name)
    return operation or first, tables, " ".join(words)[:200] or first
