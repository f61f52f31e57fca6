"""Sick and cured are values; every mixture is one snapshot the services accept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import flags, profiles
from services.runtime.policy import PolicySet

MIXTURES = st.dictionaries(st.sampled_from(profiles.CURE_NAMES), st.booleans())


def test_sick_has_no_cure_and_cured_has_all() -> None:
    """The profiles are the two ends of the switches."""
    assert "sick" == profiles.describe(profiles.cures_of("sick"))
    assert "cured" == profiles.describe(profiles.cures_of("cured"))


@given(MIXTURES)
def test_any_mixture_is_a_policy_set(cures: dict[str, bool]) -> None:
    """The services take the values of every mixture, and need no other."""
    PolicySet(**profiles.values(cures))


@given(MIXTURES)
def test_a_cure_moves_its_own_settings_only(cures: dict[str, bool]) -> None:
    """Each value is the sick one or the cured one, by its own cure's switch."""
    values = profiles.values(cures)
    for cure in profiles.CURES:
        for setting in cure.settings:
            expected = setting.cured if cures.get(cure.name) else setting.sick
            assert expected == values[setting.name]


def test_no_setting_belongs_to_two_cures() -> None:
    """Two switches never fight over a value."""
    names = [s.name for cure in profiles.CURES for s in cure.settings]

    assert len(set(names)) == len(names)
    assert not set(names) & set(profiles.COMMON)


def test_a_change_keeps_the_other_switches(tmp_path: Path) -> None:
    """Switching one cure leaves the rest and counts the version up."""
    path = tmp_path / "policies.json"
    flags.write(path, version=1, cures=profiles.cures_of("cured"))

    changed = flags.change(path, {"breakers": False})

    assert 2 == changed.version
    assert "mixed" == changed.profile
    assert not json.loads(path.read_text())["values"]["breakers"]
    assert [name for name, on in changed.cures.items() if not on] == ["breakers"]


def test_an_unknown_cure_changes_nothing(tmp_path: Path) -> None:
    """A wrong name is refused before anything is written."""
    path = tmp_path / "policies.json"
    flags.write(path, version=1, cures=profiles.cures_of("sick"))
    before = path.read_text()

    with pytest.raises(profiles.UnknownCureError, match="wishes"):
        flags.change(path, {"wishes": True})

    assert before == path.read_text()
