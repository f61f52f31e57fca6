"""What an experiment file says about a run: its configuration, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from chaos.journeys import Journey
from chaos.timeline import Timings

PROFILES = ("sick", "cured")


_MOST_LOAD = 10
# Bounds that may also stand beside the others, so that a shorter run can lower them.
_OVERRIDABLE = ("min_journeys", "min_affected_journeys")


class SettingsError(ValueError):
    """The experiment's configuration cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of one run.

    `slo`, `validity`, `proof` and `checks` hold the experiment's bounds; only the
    experiment file knows their values. A `stress` raises the load while the fault is
    there, or in its place: the bounds of `proof` say which of them is to be measured.
    A `scaler` adds gateways meanwhile, in the place of both. The rates of `load` are
    the file's times its `load_factor`. `needs` names the only database on which it can
    be played, empty for any.
    Those are hit whose home is `region`, an empty one for everybody, and of them only
    who makes one of `affected_journeys`, if any are named. With a `gateway` the fault
    is on that one of the region's gateways. Who `needs` "links" needs a database that
    the lab's links lead to.
    """

    scenario: str
    profile: str
    seed: int
    region: str
    timings: Timings
    load: Mapping[str, Any]
    slo: Mapping[str, float]
    validity: Mapping[str, float]
    proof: Mapping[str, float]
    disease: Mapping[str, float]
    steady_state: Mapping[str, float]
    checks: Mapping[str, Mapping[str, Mapping[str, Any]]]
    halt: Mapping[str, float] = field(default_factory=dict)
    stress: Mapping[str, float] = field(default_factory=dict)
    scaler: Mapping[str, float] = field(default_factory=dict)
    affected_journeys: tuple[str, ...] = ()
    gateway: str = ""
    needs: str = ""
    run_dir: str = ""

    @classmethod
    def from_configuration(cls, given: Mapping[str, Any]) -> Self:
        """Build from a loaded configuration. Raises SettingsError."""
        try:
            settings = cls(
                scenario=str(given["scenario"]),
                profile=str(given.get("profile") or ""),
                seed=int(given["seed"]),
                region=str(given["region"]),
                timings=Timings(
                    exercise_s=float(given["exercise_s"]),
                    baseline_s=float(given["baseline_s"]),
                    fault_s=float(given["fault_s"]),
                    after_s=float(given["after_s"]),
                ),
                load=_scaled(given["load"], float(given.get("load_factor", 1))),
                slo=dict(given["slo"]),
                validity={**given["validity"], **_overrides(given)},
                proof=dict(given["proof"]),
                disease=dict(given["disease"]),
                steady_state=dict(given["steady_state"]),
                checks=dict(given["checks"]),
                halt=dict(given.get("halt") or {}),
                stress=dict(given.get("stress") or {}),
                scaler=dict(given.get("scaler") or {}),
                affected_journeys=tuple(given.get("affected_journeys") or ()),
                gateway=str(given.get("gateway") or ""),
                needs=str(given.get("needs") or ""),
                run_dir=str(given.get("run_dir") or ""),
            )
        except KeyError as missing:
            raise SettingsError(f"the configuration lacks {missing}") from missing
        except (TypeError, ValueError) as wrong:
            raise SettingsError(f"the configuration does not hold: {wrong}") from wrong
        if settings.profile and settings.profile not in PROFILES:
            raise SettingsError(
                f"profile is {' or '.join(PROFILES)}, not {settings.profile!r}"
            )
        if settings.stress and float(settings.stress.get("times", 0)) <= 1:
            raise SettingsError("a stress is more than the usual load: times > 1")
        return settings

    def affects(self, journey: Journey) -> bool:
        """Tell whether a journey is one of those that the experiment is to hit."""
        return journey.is_of(self.region, self.affected_journeys)

    @property
    def hurts(self) -> bool:
        """Whether there is a fault, and not only more load."""
        return "in_force_at_least_ms" in self.proof

    def surges(self) -> Sequence[Mapping[str, float]]:
        """Give the peak that is played where experiments have their fault."""
        if not self.stress:
            return []
        timings = self.timings
        return [
            {
                "at_s": timings.fault_at_s,
                "until_s": timings.fault_until_s,
                "times": float(self.stress["times"]),
            }
        ]

    def flashes(self) -> Sequence[Mapping[str, Any]]:
        """Give the flash crowds, timed from the start of the load.

        The file times them by a phase: 0.5 `in_fault` is its middle, 1 its end; what
        comes `in_exercise` fills pools and is no part of the verdict.
        """
        timings = self.timings
        phases = {
            "in_exercise": (0.0, timings.exercise_s),
            "in_fault": (timings.fault_at_s, timings.fault_s),
        }
        return [
            {
                **{key: value for key, value in flash.items() if key not in phases},
                "at_s": since + float(flash[phase]) * lasting,
            }
            for flash in self.load.get("flash", ())
            for phase, (since, lasting) in phases.items()
            if phase in flash
        ]


def _scaled(load: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Give the load with every rate times a factor; crowds are as large as ever."""
    if not 0 < factor <= _MOST_LOAD:
        raise ValueError(f"load_factor is more than 0 and at most {_MOST_LOAD}")
    journeys = [
        {**journey, "rate": journey["rate"] * factor}
        for journey in load.get("journeys", ())
    ]
    return {**load, "journeys": journeys}


def _overrides(given: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(given[key]) for key in _OVERRIDABLE if given.get(key)}
