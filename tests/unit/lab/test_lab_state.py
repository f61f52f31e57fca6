"""One lab a folder, whoever looks whether there is one."""

from __future__ import annotations

import fcntl
import threading

import pytest

from lab import state


def test_the_second_lab_of_a_folder_is_refused(tmp_path) -> None:
    """And the third is not, when the first is gone."""
    with state.owned(tmp_path):
        assert state.is_owned(tmp_path)
        with pytest.raises(state.LabRunningError), state.owned(tmp_path):
            pass
    assert not state.is_owned(tmp_path)
    with state.owned(tmp_path):
        assert state.is_owned(tmp_path)


def test_who_looks_is_no_lab(tmp_path) -> None:
    """Not to another one who looks, and not to a lab that starts at this moment."""
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open("r+") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert not state.is_owned(tmp_path)
        leaves = threading.Timer(0.05, fcntl.flock, (looker, fcntl.LOCK_UN))
        leaves.start()
        with state.owned(tmp_path):
            assert state.is_owned(tmp_path)
        leaves.join()
