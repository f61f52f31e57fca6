"""What a drill says to a CockroachDB, and to the compose file around one: pure text.

CockroachDB could not be run where this was written. The statements are held by golden
files and follow its documentation of v25.4; see docs/drills.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SOURCE = "seawall_drill"
_ROWS = "(number INT8 PRIMARY KEY, content STRING NOT NULL)"
_REGIONS = re.compile(r"[a-z][a-z0-9-]*\Z")
# As the compose file names its nodes: crdb-eu, or crdb-eu-1 where there are several.
_NODE = "crdb-"
_PLACE = re.compile(r"[a-z0-9+-]+://[^\s'\\]+\Z")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?(\+00(:00)?)?\Z")


def _place(url: str) -> str:
    if not _PLACE.match(url):
        raise ValueError(f"not the address of a backup: {url!r}")
    return url


def _moment(moment: str) -> str:
    if not _MOMENT.match(moment):
        raise ValueError(f"not a moment in UTC: {moment!r}")
    return moment


def schema(*, regions: Sequence[str] = ()) -> tuple[str, ...]:
    """Make the drill's database anew, surviving a region where three are named.

    Raises ValueError for a name that is no region.
    """
    for region in regions:
        if not _REGIONS.match(region):
            raise ValueError(f"not a region: {region!r}")
    statements = [
        f"DROP DATABASE IF EXISTS {SOURCE} CASCADE",
        f"CREATE DATABASE {SOURCE}",
    ]
    if regions:
        first, *rest = regions
        statements.append(f'ALTER DATABASE {SOURCE} SET PRIMARY REGION "{first}"')
        statements += [f'ALTER DATABASE {SOURCE} ADD REGION "{one}"' for one in rest]
    if len(regions) >= 3:
        statements.append(f"ALTER DATABASE {SOURCE} SURVIVE REGION FAILURE")
    return (
        *statements,
        f"CREATE TABLE {SOURCE}.public.drill_rows {_ROWS}",
        f"CREATE TABLE {SOURCE}.public.drill_probe (content STRING NOT NULL)",
    )


def full_backup(place: str) -> str:
    """Copy the drill's database with its history. Raises ValueError."""
    return (
        f"BACKUP DATABASE {SOURCE} INTO '{_place(place)}' "
        "AS OF SYSTEM TIME '-1s' WITH revision_history"
    )


def next_backup(place: str) -> str:
    """Copy what changed since the last copy. Raises ValueError."""
    return (
        f"BACKUP DATABASE {SOURCE} INTO LATEST IN '{_place(place)}' "
        "AS OF SYSTEM TIME '-1s' WITH revision_history"
    )


def lose() -> str:
    """Lose the drill's database."""
    return f"DROP DATABASE {SOURCE} CASCADE"


def restore(place: str, *, moment: str | None = None) -> str:
    """Restore the database, to a moment where one is given. Raises ValueError."""
    at = f" AS OF SYSTEM TIME '{_moment(moment)}'" if moment else ""
    return f"RESTORE DATABASE {SOURCE} FROM LATEST IN '{_place(place)}'{at}"


def cleanup() -> str:
    """Remove what a drill made."""
    return f"DROP DATABASE IF EXISTS {SOURCE} CASCADE"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionFault:
    """The commands of docker compose that end a region and bring it back."""

    kill: tuple[str, ...]
    start: tuple[str, ...]


def region_fault(region: str, services: Iterable[str]) -> RegionFault:
    """Give the commands for a region's nodes among a compose file's services.

    Raises ValueError where the region has none.
    """
    if not _REGIONS.match(region):
        raise ValueError(f"not a region: {region!r}")
    node = re.compile(rf"{_NODE}{re.escape(region)}(-?\d+)?\Z")
    names = tuple(sorted(name for name in services if node.match(name)))
    if not names:
        raise ValueError(f"no service of the compose file is a node in {region}")
    compose = ("docker", "compose")
    return RegionFault(
        kill=(*compose, "kill", "--signal", "SIGKILL", *names),
        start=(*compose, "start", *names),
    )
