"""Takes the values out of what a database says about a statement.

What is left are names, operators and regions. Whatever cannot be told apart for
certain is taken out: a quote without its end hides all that follows it.
"""

from __future__ import annotations

import re

from cockroach.topology import REGIONS

# In this order: with escapes (E'..' of PostgreSQL; e'..' and b'..' of CockroachDB,
# where a quote may be escaped by a backslash), plain, without an end, and numbers,
# but no digits of a name and no parameter such as $1.
_VALUE = re.compile(
    r"\b[eEbBxX]'(?:\\.|''|[^'\\])*'"
    r"|'((?:''|[^'])*)'"
    r"|'.*"
    r"|(?<![\w$.])-?\d[\w.]*",
    re.DOTALL,
)
_REGIONS = frozenset(REGIONS)


def without_values(text: str) -> str:
    """Put `?` for every literal; the names of regions and lists of them stay."""
    return _VALUE.sub(_or_region, text)


def _or_region(found: re.Match[str]) -> str:
    inside = found[1]
    if inside and _REGIONS.issuperset(inside.strip("{}").split(",")):
        return found[0]
    return "?"
