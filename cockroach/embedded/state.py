"""What a cluster keeps on disk beside its data: the lock, the secrets, the mark.

The mark is written last: a directory without it was never finished, and is made
anew; a directory that is not ours is never touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from cockroach.embedded.errors import (
    ClusterInUseError,
    DataDirectoryError,
    DiskFullError,
)
from cockroach.embedded.server import explain_os_error

FORMAT = 1
# Three data directories of 60 MB with room for their logs to grow.
ROOM_TO_CREATE_MB = 400
ROOM_TO_START_MB = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a finished data directory was made with."""

    format: int
    postgres: int
    revision: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Generated passwords, 128 random bits each."""

    admin: str
    app: str
    replication: str

    def __repr__(self) -> str:
        return "Secrets(...)"


class State:
    """The files of one cluster below its root directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._mark = root / "cluster.json"
        self._ours = root / ".seawall-cluster"
        self._secrets = root / "secrets.json"
        self._lock: IO[str] | None = None

    def claim(self) -> None:
        """Make the root ours and lock it against a second process.

        Raises DataDirectoryError, ClusterInUseError, DiskFullError.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            foreign = any(self.root.iterdir()) and not self._ours.exists()
            if foreign:
                raise DataDirectoryError(
                    f"{self.root} holds files and is no cluster's data directory; "
                    "choose another"
                )
            # Servers may run as another account, and have to pass through.
            self.root.chmod(0o755)
            file = self._ours.open("a+")
        except OSError as error:
            raise explain_os_error(error, self.root) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise ClusterInUseError(
                f"process {owner} already runs a cluster in {self.root}"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock = file

    def release(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def require_room(self, megabytes: int, where: Path) -> None:
        """Raise DiskFullError when the file system has less than this free."""
        free = shutil.disk_usage(where).free // 2**20
        if free < megabytes:
            raise DiskFullError(
                f"{where} has {free} MB free and the cluster needs {megabytes}"
            )

    def mark(self) -> Mark | None:
        """Give what the directory was made with; None when it was never finished.

        Raises DataDirectoryError when the mark is of a format we do not know.
        """
        try:
            return Mark(**json.loads(self._mark.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise DataDirectoryError(
                f"{self._mark} is not a mark this version can read; remove "
                f"{self.root} to start from nothing"
            ) from error

    @property
    def unfinished(self) -> bool:
        """Whether the directory was never marked as finished."""
        return not self._mark.exists()

    def write_mark(self, mark: Mark) -> None:
        """Say that the directory is finished."""
        self._write(self._mark, json.dumps(asdict(mark)))

    def new_secrets(self) -> Secrets:
        """Make new passwords and keep them, readable by us alone."""
        made = Secrets(
            admin=secrets.token_hex(16),
            app=secrets.token_hex(16),
            replication=secrets.token_hex(16),
        )
        self._write(self._secrets, json.dumps(asdict(made)))
        return made

    def load_secrets(self) -> Secrets:
        """Read the passwords. Raises DataDirectoryError when they are lost."""
        try:
            return Secrets(**json.loads(self._secrets.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise DataDirectoryError(
                f"{self._secrets} is missing or damaged; remove {self.root} to "
                "start from nothing"
            ) from error

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_suffix(".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise explain_os_error(error, path) from error


def check_mark(
    found: Mark, expected: Mark, root: Path, *, known: Collection[str] = ()
) -> None:
    """Raise DataDirectoryError that names the first difference.

    An older schema revision, one of those `known`, is none: it can be migrated.
    """
    names = {
        "format": "layout",
        "postgres": "PostgreSQL",
        "revision": "schema revision",
        "seed": "seed",
    }
    for field, name in names.items():
        ours, theirs = getattr(expected, field), getattr(found, field)
        if ours != theirs and not (field == "revision" and theirs in known):
            raise DataDirectoryError(
                f"{root} was made with {name} {theirs}, and this is {name} {ours}; "
                "remove it to start from nothing, or choose another directory"
            )
