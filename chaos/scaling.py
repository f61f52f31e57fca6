"""A scaler in the place of a fault: the wrong reaction, while the causes stand.

Nothing is hurt and the load stays as it is. Whether the scaler was at work is told by
its own looks: enough of them, one shortly before the end, and its lists taken back.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from time import time
from typing import Any

from chaos.journeys import Journey
from chaos.lab_state import Lab
from chaos.scaler import Rule, Scaler, undo
from chaos.settings import Settings
from chaos.toxics import Toxiproxy
from chaos.trouble import CROSSING_KINDS, paid_trips
from links.control import LinkControl

LOG = "scaler.jsonl"
NOTE = "scaler.links"


def take_back(lab: Lab) -> list[str]:
    """Undo what a scaler left whose process was killed. Raises LinkError, OSError."""
    note = lab.state_dir / NOTE
    if not note.exists():
        return []
    control = LinkControl(lab.control)
    try:
        return undo(note, lists=_lists(lab), control=control)
    finally:
        control.close()


def _lists(lab: Lab) -> dict[str, Path]:
    return {region: lab.state_dir / f"database-{region}.json" for region in lab.admin}


class Scaling:
    """A scaler that runs for a while. Times are epoch seconds."""

    def __init__(self, lab: Lab, settings: Settings, folder: Path) -> None:
        self._lab = lab
        self._settings = settings
        self._toxiproxy = Toxiproxy(lab.toxiproxy)
        self._control = LinkControl(lab.control)
        self._log = folder / LOG
        self._scaler: Scaler | None = None
        self._left: list[str] = []
        self.proofs: dict[str, dict[str, Any]] = {}
        self.foreign: list[str] = []
        self.in_force_s = 0.0
        self.removing_s = 0.0
        self.gone_s = 0.0

    @property
    def links(self) -> list[str]:
        """The links that were added."""
        return list(self._scaler.added) if self._scaler is not None else []

    def to_json(self) -> dict[str, Any]:
        """Say whether the scaler is at work, and how many links it has added."""
        state = "gone" if self.gone_s else "in force" if self.in_force_s else "off"
        return {"state": state, "added": len(self.links)}

    def prepare(self) -> None:
        """Read the lists of gateways. Raises ToxiproxyError, OSError."""
        self._look_around()
        wanted = self._settings.scaler
        self._scaler = Scaler(
            self._control,
            lists=_lists(self._lab),
            log=self._log,
            note=self._lab.state_dir / NOTE,
            rule=Rule(
                connections_at_most=float(wanted["connections_at_most"]),
                most_gateways=int(wanted["most_gateways"]),
                every_s=float(wanted["every_s"]),
            ),
        )

    def begin(self) -> str:
        """Let the scaler look and act from now on; say so."""
        self._at_work.start()
        self.in_force_s = time()
        return "the scaler is at work"

    def prove_in_force(self, moment: str) -> list[str]:
        """Say nothing yet when it begins; before its end count how often it looked."""
        if moment == "in_force":
            return []
        looks = self._at_work.looks_s
        least = int(self._settings.proof["looks_at_least"])
        fresh_s = 3 * float(self._settings.scaler["every_s"])
        wrong = [self._at_work.error] if self._at_work.error else []
        if len(looks) < least:
            wrong.append(f"it looked {len(looks)} times, {least} are needed")
        self._note("in_force", wrong)
        late = [] if looks and time() - looks[-1] < fresh_s else ["it looks no more"]
        self._note(moment, late)
        return [*wrong, *late]

    def remove(self) -> None:
        """Stop the scaler and give the services their gateways back."""
        self.removing_s = self.removing_s or time()
        self._at_work.stop()
        self._left = self._at_work.take_back()
        self.gone_s = self.gone_s or time()

    def prove_gone(self) -> list[str]:
        """Tell which lists are not as they were. Raises ToxiproxyError."""
        self._look_around()
        wrong = [f"the list of {region} is another one" for region in self._left]
        self._note("gone", wrong)
        return wrong

    def look_back(self, journeys: Sequence[Journey], *, baseline_s: float) -> None:
        """Do nothing: the scaler was watched while it worked."""

    def trips(self, kinds: Container[str] = CROSSING_KINDS) -> dict[str, int]:
        """Read the paid round trips of the links of some kinds between two regions."""
        return paid_trips(self._control, kinds)

    def close(self) -> None:
        """Stop, take the lists back, remove the links; harmless when done."""
        if self._scaler is not None:
            self._scaler.stop()
            self._scaler.take_back()
            self._scaler.remove_links()
            self._scaler = None
        self._control.close()

    @property
    def _at_work(self) -> Scaler:
        if self._scaler is None:
            raise RuntimeError("the scaler was not prepared")
        return self._scaler

    def _look_around(self) -> None:
        self.foreign = [
            f"{one.toxic} on {one.proxy}" for one in self._toxiproxy.placed()
        ]

    def _note(self, moment: str, wrong: Sequence[str]) -> None:
        self.proofs[moment] = {
            "at_s": round(time(), 3),
            "looks": len(self._at_work.looks_s),
            "added": self.links,
            "wrong": list(wrong),
        }
