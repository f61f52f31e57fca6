"""The record of acknowledgements, and the writer that keeps it."""

from __future__ import annotations

import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.drills import records, writer
from cockroach.drills.records import Record, RecordFile, content, read_record


def test_a_record_is_read_as_it_was_written(tmp_path):
    """Rows sent, rows acknowledged and their times come back exactly."""
    path = tmp_path / "record"
    with RecordFile(path) as record:
        record.sent(1)
        record.sent(2)
        record.acknowledged(1, 0.1 + 0.2)

    assert read_record(path) == Record(
        sent=frozenset({1, 2}), acknowledged={1: 0.1 + 0.2}
    )
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_a_record_that_is_not_there_is_empty(tmp_path):
    """A writer that never began has acknowledged nothing."""
    assert read_record(tmp_path / "none") == Record()


def test_a_line_that_was_cut_off_is_no_line(tmp_path):
    """What a crash left half written was not acknowledged to anybody."""
    path = tmp_path / "record"
    path.write_text("t 1\na 1 5.0\nt 12\na 12 6.")

    assert read_record(path) == Record(sent=frozenset({1, 12}), acknowledged={1: 5.0})


def test_a_foreign_line_is_refused(tmp_path):
    """A record that was damaged proves nothing."""
    path = tmp_path / "record"
    path.write_text("t 1\nnonsense\n")
    with pytest.raises(ValueError, match="not a line of a record"):
        read_record(path)


def test_an_acknowledgement_is_on_disk_before_it_counts(tmp_path, monkeypatch):
    """The line is written, then synchronised, then the call returns."""
    path = tmp_path / "record"
    seen = []
    monkeypatch.setattr(
        records.os, "fsync", lambda handle: seen.append(path.read_text())
    )
    with RecordFile(path) as record:
        record.acknowledged(7, 1.5)

    assert ["a 7 1.5\n"] == seen


def test_threads_do_not_tear_each_others_lines(tmp_path):
    """Every line of eight threads is whole."""
    path = tmp_path / "record"
    with RecordFile(path) as record:

        def many(first):
            for number in range(first, first + 100):
                record.sent(number)

        threads = [threading.Thread(target=many, args=(n * 100,)) for n in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    assert read_record(path).sent == frozenset(range(800))


@given(st.integers(), st.integers(0, 10**9), st.integers(0, 10**9))
def test_contents_tell_rows_apart(seed, one, other):
    """A row's content follows from its number, and no two share one."""
    assert content(seed, one) == content(seed, one)
    assert 400 == len(content(seed, one))
    assert (content(seed, one) == content(seed, other)) == (one == other)


class _Session:
    def __init__(self, path, *, fails=False):
        self.path, self.fails, self.said = path, fails, []

    def execute(self, *_):
        self.said.append("execute")

    def commit(self):
        assert read_record(self.path).acknowledged == {}
        if self.fails:
            raise writer.psycopg.OperationalError
        self.said.append("commit")


def _writer(path, record):
    orders = writer.Orders(
        conninfo="", record=str(path), seed=7, first=0, rate=10, sessions=1
    )
    return writer.Writer(orders, record)


def test_only_what_was_committed_is_acknowledged(tmp_path):
    """The acknowledgement comes after COMMIT has returned, and not without it."""
    path = tmp_path / "record"
    with RecordFile(path) as record:
        one = _writer(path, record)
        with pytest.raises(writer.psycopg.OperationalError):
            one.write(_Session(path, fails=True), 1)
        assert read_record(path).acknowledged == {}
        session = _Session(path)
        one.write(session, 2)

    assert ["execute", "commit"] == session.said
    assert {2} == set(read_record(path).acknowledged)


@pytest.mark.parametrize("change", [{"rate": 0}, {"sessions": 0}])
def test_orders_that_write_nothing_are_refused(change):
    """A writer without a pace or a session is a mistake."""
    values = {"conninfo": "", "record": "", "seed": 1, "first": 0}
    with pytest.raises(ValueError, match="a writer needs"):
        writer.Orders(**values, **({"rate": 1.0, "sessions": 1} | change))


def test_turns_that_were_missed_are_gone(tmp_path, monkeypatch):
    """After an outage the pace is the old one: nothing is made good in a burst."""
    now = [100.0]
    monkeypatch.setattr(writer.time, "monotonic", lambda: now[0])
    with RecordFile(tmp_path / "record") as record:
        one = _writer(tmp_path / "record", record)
        assert [100.0, 100.1] == [one._turn(), pytest.approx(one._turn())]
        now[0] = 200.0
        turns = [one._turn() for _ in range(4)]

    assert [199.9, 200.0, 200.1, 200.2] == pytest.approx(turns)
