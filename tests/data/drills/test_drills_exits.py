"""However a drill ends, nothing of it is left."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cockroach.drills import janitor

pytestmark = [pytest.mark.drill, pytest.mark.timeout(90)]
ROOT = Path(__file__).resolve().parents[3]
PAUSED_FOR_EVER = """
import sys
from pathlib import Path
from opentelemetry import trace
from cockroach.drills import load_targets
from cockroach.drills.detect import Patience
from cockroach.drills.plan import Plan
from cockroach.drills.run import run

plan = Plan(
    sizes=(1000,), before=0.5, fault="pause", give_up=60.0,
    patience=Patience(failures=1000),
)
run("hot-standby", target=load_targets()["hot-standby"], plan=plan,
    folder=Path(sys.argv[1]), tracer=trace.get_tracer("test"))
"""


def _until(condition, bound=30.0):
    deadline = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _left(folder):
    return [path.name for path in folder.glob("work-*")]


def _processes(folder):
    found = []
    for process in psutil.process_iter():
        try:
            words = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in words):
            found.append(process)
    return found


def _environment(folder):
    return {**os.environ, "PYTHONPATH": str(ROOT), "SEAWALL_LAB": str(folder / "x")}


def _seawall(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "lab.cli", *words],
        cwd=ROOT,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_kill_9_leaves_nothing_not_even_a_paused_server(folder):
    """The janitor ends servers that are stopped in their tracks, and their files."""
    runner = subprocess.Popen(
        [sys.executable, "-c", PAUSED_FOR_EVER, str(folder)],
        cwd=ROOT,
        env=_environment(folder),
    )
    _until(
        lambda: any(
            one.status() == psutil.STATUS_STOPPED
            for one in janitor.servers(list(folder.glob("work-*")))
        )
    )
    runner.kill()
    runner.wait()

    _until(lambda: not _left(folder) and not _processes(folder), 15.0)
    assert ["lock"] == [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_drill_leaves_nothing(folder, number, code):
    """Ctrl-C and SIGTERM end servers, links, writer and files, and say so."""
    runner = _seawall(folder, "drill", "run", "hot-standby", "--rows", "1000")
    _until(lambda: bool(janitor.servers(list((folder / "drills").glob("work-*")))))
    runner.send_signal(number)
    runner.communicate(timeout=30)

    assert code == runner.returncode
    assert [] == _left(folder / "drills")
    _until(lambda: not _processes(folder), 5.0)


def test_what_a_killed_janitor_left_is_removed_by_the_next(folder, play):
    """A directory that nobody owns any more does not stay for ever."""
    stale = folder / "work-stale"
    (stale / "servers").mkdir(parents=True)
    (stale / "homes.json").write_text("nonsense")
    play("hot-standby")

    assert [] == _left(folder)


PAGE = (ROOT / "docs" / "drills.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def test_the_commands_of_the_page_run_as_written(folder):
    """Every command in the drills' page exits as the page says."""
    assert COMMANDS
    for line in COMMANDS:
        words = shlex.split(line)
        if words[0] == "make":
            continue
        assert ".venv/bin/seawall" == words[0]
        runner = _seawall(folder, *words[1:])
        said, told = runner.communicate(timeout=80)
        # Only one solution was rehearsed on this page: the others are due.
        expected = 1 if "history" in words else 0
        assert expected == runner.returncode, f"{line}\n{said}\n{told}"
        assert said.strip()
