"""Archives in folders of any name, small disks, and the janitor's reach."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from cockroach.drills import DrillUnavailableError, archive, janitor, workplace
from cockroach.drills.site import _quoted
from cockroach.drills.workplace import Round

NAME = "000000010000000000000001"


def _as_the_server(command, path):
    # What PostgreSQL puts in place of its marks, %% last of all.
    marks = {"%p": str(path), "%f": NAME, "%%": "%"}
    said, at = "", 0
    while at < len(command):
        mark = command[at : at + 2]
        said += marks.get(mark, command[at])
        at += 2 if mark in marks else 1
    return subprocess.run(["sh", "-c", said], check=False, capture_output=True)


@pytest.fixture(params=["plain", 'it\'s 100% "mine" $HOME'])
def places(request, tmp_path):
    """Give a folder of the archive and a segment, both with a difficult name."""
    kept = tmp_path / request.param
    kept.mkdir()
    segment = tmp_path / "segment"
    segment.write_text("log")
    return kept, segment


def test_a_segment_goes_into_the_archive_once_and_comes_back(places, tmp_path):
    """It is copied whole under its name, never overwritten, and can be read again."""
    kept, segment = places
    command = archive.archiving(kept, interval=3)["archive_command"]

    assert 0 == _as_the_server(command, segment).returncode
    assert ["log"] == [path.read_text() for path in kept.iterdir()]
    segment.write_text("another")
    assert 0 != _as_the_server(command, segment).returncode
    back = tmp_path / "back"
    assert (
        0 == _as_the_server(archive.reading(kept)["restore_command"], back).returncode
    )
    assert "log" == back.read_text()


def test_an_archive_that_cannot_be_reached_takes_nothing(places):
    """The server keeps the segment and tries again, as over a line that is down."""
    kept, segment = places
    (kept / archive.UNREACHABLE).touch()
    command = archive.archiving(kept, interval=3)["archive_command"]

    assert 0 != _as_the_server(command, segment).returncode
    assert [archive.UNREACHABLE] == [path.name for path in kept.iterdir()]


def test_only_whole_segments_are_shipped(tmp_path):
    """What is still being copied stays; what is there already is not copied again."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / f".{NAME}").write_text("half")
    (source / "1").write_text("new")
    (source / "2").write_text("new")
    (target / "2").write_text("old")
    owned = []
    archive.ship(source, target, own=owned.append)

    assert {"1": "new", "2": "old"} == {p.name: p.read_text() for p in target.iterdir()}
    assert [target / "1"] == owned


def test_settings_keep_their_quotes():
    """A quote or backslash in a value does not end it in the server's file."""
    assert r"it''s \\ here" == _quoted(r"it's \ here")


def test_a_small_disk_that_cannot_be_had_is_told(tmp_path, monkeypatch):
    """Without the right to mount, the fault is refused with the reason."""
    refused = SimpleNamespace(returncode=32, stderr="mount: permission denied\n")
    monkeypatch.setattr(workplace.subprocess, "run", lambda *_, **__: refused)
    place = Round(
        footing=SimpleNamespace(home=tmp_path, account=None), links=None, secret=""
    )
    site = SimpleNamespace(server=SimpleNamespace(data=tmp_path / "data"))

    with pytest.raises(DrillUnavailableError, match=r"right to mount.*denied"):
        place.cap(site, 10)


def test_the_janitor_cleans_its_own_and_nothing_beside_it(tmp_path):
    """A neighbour whose name only begins alike keeps its files."""
    mine, beside = tmp_path / "work-1", tmp_path / "work-10"
    for folder in (mine, beside):
        (folder / "deep").mkdir(parents=True)
    janitor.clean([mine, tmp_path / "never-made"])

    assert ["work-10"] == [path.name for path in tmp_path.iterdir()]
    assert janitor._inside(f"{mine}/deep", [mine])
    assert not janitor._inside(str(beside), [mine])
