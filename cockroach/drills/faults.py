"""What can befall a server in a drill, and the proof that it did."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import psutil

from cockroach.drills.archive import UNREACHABLE
from cockroach.drills.site import Site
from links import LinkControl

FaultName = Literal["kill", "pause", "black-hole", "disk-full"]
FAULTS: tuple[FaultName, ...] = get_args(FaultName)
_TOXIC = "drill-black-hole"
_CHUNK = 64 * 1024
# A server that is not paused by then will not be: the drill says so.
_PAUSED_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a fault can reach: the server, its links, its archive, its capped disk."""

    site: Site
    links: LinkControl
    link_names: tuple[str, ...]
    archive: Path | None = None
    disk: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How to bring it on, whether it is in force, how to lift it off the links."""

    says: str
    inject: Callable[[Scene], None]
    in_force: Callable[[Scene], bool]
    lift: Callable[[Scene], None] = lambda _: None


def _kill(scene: Scene) -> None:
    scene.site.kill()


def _is_gone(scene: Scene) -> bool:
    return not scene.site.server.running


def _pause(scene: Scene) -> None:
    # A stop takes effect when the process runs next, and the first one may be about to
    # start another: so it is looked at again until nobody is left.
    until = time.monotonic() + _PAUSED_WITHIN_S
    while not _is_paused(scene) and time.monotonic() < until:
        for process in _still_running(scene):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        time.sleep(0.005)


def _is_paused(scene: Scene) -> bool:
    return bool(scene.site.processes()) and not _still_running(scene)


def _still_running(scene: Scene) -> list[psutil.Process]:
    """List the processes that may still do something, the first one first."""
    # One that ended stays in the list: its parent is stopped and does not collect it.
    ended = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    found = []
    for one in scene.site.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.status() not in ended:
                found.append(one)
    return found


def _swallow(scene: Scene) -> None:
    # One way: what the region sends is lost, what is sent to it arrives.
    for name in scene.link_names:
        scene.links.toxic_add(name, "timeout", toxic=_TOXIC, attributes={"timeout": 0})
    if scene.archive is not None:
        # Files leave the region by the same lines.
        (scene.archive / UNREACHABLE).touch()


def _is_swallowing(scene: Scene) -> bool:
    held = {
        info.name
        for info in scene.links.list()
        if any(toxic.name == _TOXIC for toxic in info.toxics)
    }
    return scene.site.server.running and held >= set(scene.link_names)


def _let_through(scene: Scene) -> None:
    for name in scene.link_names:
        scene.links.toxic_remove(name, _TOXIC)


def _fill(scene: Scene) -> None:
    assert scene.disk is not None
    filler = os.open(scene.disk / "filler", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while True:
            os.write(filler, bytes(_CHUNK))
    except OSError:
        return
    finally:
        os.close(filler)


def _is_full(scene: Scene) -> bool:
    assert scene.disk is not None
    return shutil.disk_usage(scene.disk).free < _CHUNK


BY_NAME: Mapping[FaultName, Fault] = MappingProxyType(
    {
        "kill": Fault(
            says="every process of the server is killed",
            inject=_kill,
            in_force=_is_gone,
        ),
        "pause": Fault(
            says="every process of the server is stopped where it stands",
            inject=_pause,
            in_force=_is_paused,
        ),
        "black-hole": Fault(
            says="nothing that the region sends arrives; what is sent to it does",
            inject=_swallow,
            in_force=_is_swallowing,
            lift=_let_through,
        ),
        "disk-full": Fault(
            says="the server's disk has no room left", inject=_fill, in_force=_is_full
        ),
    }
)
