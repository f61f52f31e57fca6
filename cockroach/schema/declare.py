"""What a table is, said once: columns, keys, where its rows live, its indexes.

A declaration holds names only, never SQL, but for the conditions of checks. It refuses
what CockroachDB would refuse, and what would cross regions without anybody noticing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from cockroach.topology import PRIMARY, REGIONS

REGION_COLUMN = "crdb_region"
#: The revision that makes the tables; what came later names its own.
FIRST = "0001"

Kind = Literal["text", "uuid", "bigint", "timestamp", "jsonb", "inet", "identity"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")


class DeclarationError(ValueError):
    """A declaration that no database should be asked to make."""


@dataclass(frozen=True, slots=True)
class RegionalByRow:
    """Each row lives in the region that its `crdb_region` names."""


@dataclass(frozen=True, slots=True)
class Global:
    """Read locally and freshly in every region; a write waits for all of them."""


@dataclass(frozen=True, slots=True)
class RegionalByTable:
    """All rows live in one region."""

    region: str = PRIMARY


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Nobody has thought of where the rows live: the naive schema."""


Locality = RegionalByRow | Global | RegionalByTable | Unplaced


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `identity` is a number that the database counts up.

    `default` is what rows have that say nothing of it, those included that were there
    before the column. `since` is the revision that adds it.
    """

    name: str
    kind: Kind
    null: bool = False
    default: int | None = None
    since: str = FIRST


@dataclass(frozen=True, slots=True)
class FormerKey:
    """What a table's primary key was, and the revision that changed it."""

    columns: tuple[str, ...]
    until: str


@dataclass(frozen=True, slots=True)
class Descending:
    """A column of an index that is kept from the greatest to the least."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} desc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A secondary index.

    With `buckets` it is hash-sharded on CockroachDB, which spreads keys that only
    grow. Sharded on a REGIONAL BY ROW table it must not name the region: CockroachDB
    puts it first by itself and refuses it as a key of such an index. `since` and
    `until` are the revisions that make it and take it away.
    """

    name: str
    columns: tuple[str | Descending, ...]
    buckets: int | None = None
    since: str = FIRST
    until: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(c if isinstance(c, str) else c.name for c in self.columns)

    def alive(self, revision: str) -> bool:
        """Tell whether a database at this revision has it."""
        return self.since <= revision and (self.until is None or revision < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """Columns of which no two rows have the same values; named table_name_key."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A condition that every row meets; named table_name_check."""

    name: str
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """Columns that name a row of another table, by its key or a unique of it."""

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Where to cut a table's key range, or an index's, before a campaign.

    Each point holds values for the first columns of the key, as text.
    """

    points: tuple[tuple[str, ...], ...]
    index: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """One table. A REGIONAL BY ROW one gets `crdb_region` as its first column."""

    name: str
    locality: Locality
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    former_key: FormerKey | None = None
    indexes: tuple[Index, ...] = ()
    uniques: tuple[Unique, ...] = ()
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    splits: tuple[Split, ...] = ()

    @property
    def regional(self) -> bool:
        """Whether each row has a region of its own."""
        return isinstance(self.locality, RegionalByRow)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Every column's name, the region's included."""
        own = tuple(column.name for column in self.columns)
        return (REGION_COLUMN, *own) if self.regional else own

    @property
    def later(self) -> tuple[Column, ...]:
        """The columns that a revision after the first one adds."""
        return tuple(column for column in self.columns if column.since != FIRST)

    def key_at(self, revision: str | None) -> tuple[str, ...]:
        """Give the primary key at a revision; None is the newest."""
        former = self.former_key
        if former is not None and revision is not None and revision < former.until:
            return former.columns
        return self.key

    def kind(self, name: str) -> str:
        """Name the kind of a column; `region` for the region's."""
        if name == REGION_COLUMN and self.regional:
            return "region"
        return next(c.kind for c in self.columns if c.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaSpec:
    """Every table of one schema, checked together. Raises DeclarationError."""

    tables: tuple[TableSpec, ...]
    regions: tuple[str, ...] = REGIONS
    primary: str = PRIMARY
    by_name: dict[str, TableSpec] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The rules know these classes, so they are asked for late.
        from cockroach.schema import rules  # noqa: PLC0415

        object.__setattr__(self, "by_name", {t.name: t for t in self.tables})
        rules.check(self)

    @property
    def placed(self) -> bool:
        """Whether anybody has said where rows live."""
        return any(not isinstance(t.locality, Unplaced) for t in self.tables)


def check_name(name: str, what: str) -> None:
    """Raise DeclarationError unless a name needs no quotes in any database."""
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"{what} {name!r}: a name is lower-case letters, digits and underscores, "
            "a letter first, 51 at most"
        )
