"""What an experiment file says about a run: its configuration, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from chaos.timeline import Timings

PROFILES = ("sick", "cured")


# Bounds that may also stand beside the others, so that a shorter run can lower them.
_OVERRIDABLE = ("min_journeys", "min_affected_journeys")


class SettingsError(ValueError):
    """The experiment's configuration cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of one run.

    `slo`, `validity`, `proof` and `checks` hold the experiment's bounds; only the
    experiment file knows their values.
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
                load=dict(given["load"]),
                slo=dict(given["slo"]),
                validity={**given["validity"], **_overrides(given)},
                proof=dict(given["proof"]),
                disease=dict(given["disease"]),
                steady_state=dict(given["steady_state"]),
                checks=dict(given["checks"]),
                halt=dict(given.get("halt") or {}),
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
        return settings

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


def _overrides(given: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(given[key]) for key in _OVERRIDABLE if given.get(key)}
