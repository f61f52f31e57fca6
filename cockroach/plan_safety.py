"""Which statements may be run once more to measure their plan.

EXPLAIN ANALYZE runs what it explains. Only what is known to read is run: one SELECT
without locks, that calls nothing but functions listed here. Everything else, and
whatever is merely hard to read, is explained without being run.
"""

from __future__ import annotations

import re
from functools import lru_cache

_BEGINS = re.compile(r"\s*(?:SELECT|WITH)\b", re.IGNORECASE)
# SHARE and UPDATE lock rows (FOR ...), INTO makes a table; with a comment or a second
# statement the rest is not what it seems.
_CHANGES = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|UPSERT|CALL|TRUNCATE|INTO|SHARE|COPY|EXECUTE)\b"
    r"|;|--|/\*|\$\$",
    re.IGNORECASE,
)
_CALL = re.compile(r"(?P<before>\bAS\s+|\.\s*)?(?P<name>[\w\"$]+)\s*\(", re.IGNORECASE)
# What may stand before a bracket: words of the language, types with a length, and
# functions of the database's own that read.
_BEFORE_BRACKET = re.compile(
    r"""
    all | and | any | array | as | between | by | case | cast | distinct | else |
    except | exists | filter | first | from | group | having | ilike | in | intersect
    | is | join | last | lateral | like | limit | materialized | not | nulls | offset
    | on | or | order | over | partition | row | select | set | similar | some | then
    | union | using | values | when | where | with | within
    |
    bit | char | character | decimal | float | interval | numeric | time | timestamp |
    varchar | varying
    |
    abs | array_agg | array_length | avg | bool_and | bool_or | cardinality | ceil |
    coalesce | concat | count | date_trunc | dense_rank | extract | first_value |
    floor | gateway_region | greatest | json_agg | jsonb_agg | jsonb_array_length |
    lag | last_value | lead | least | length | lower | max | min | nullif | position |
    rank | replace | round | row_number | string_agg | substring | sum | trim | unnest
    | upper
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=1024)
def may_run(text: str) -> bool:
    """Tell whether a statement reads and does nothing else."""
    if _BEGINS.match(text) is None or _CHANGES.search(text) is not None:
        return False
    return all(_harmless(found) for found in _CALL.finditer(text))


def _harmless(found: re.Match[str]) -> bool:
    before = (found["before"] or "").strip()
    name = found["name"].lower()
    if before == ".":
        # Another schema's function may have any name.
        return False
    # "AS t(a, b)" names columns.
    return bool(before) or _BEFORE_BRACKET.fullmatch(name) is not None
