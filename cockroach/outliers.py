"""A region's gateways judged apart: one that does worse than the others sits out.

Consecutive bad answers eject a gateway, each time for longer, as Envoy's outlier
detection does it; never all of them, since then it is not the gateway. Its return is
half-open, as a breaker's: one statement goes there, and the others only after a good
answer. Pure: the time is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

_CONSECUTIVE = 2
_BASE_S = 1.0
_MOST_S = 8.0
# A good answer says for so long that a gateway does well.
_RECENT_S = 3.0
# A trial whose answer never came, since its caller left, bars the next for so long.
_TRIAL_S = 1.0
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GatewayEjected:
    """A gateway is passed by for `for_s` seconds while another does well."""

    target: str
    gateway: str
    reason: str
    for_s: float


@dataclass(frozen=True, slots=True)
class GatewayReturned:
    """A gateway that sat out answered well and is asked again like the others."""

    target: str
    gateway: str


@dataclass(slots=True)
class _Gateway:
    good: bool = True
    at_s: float = float("-inf")
    bad_in_a_row: int = 0
    ejections: int = 0
    ejected_until_s: float = float("-inf")
    tried_at_s: float = float("-inf")

    @property
    def out(self) -> bool:
        """Whether it was ejected and has not answered well since."""
        return self.ejections > 0 and not self.good


class Outliers:
    """What one process knows of the gateways of one region."""

    def __init__(self) -> None:
        self._gateways: dict[str, _Gateway] = {}
        self._any_ejected = False

    def record(
        self, gateway: str, *, good: bool, now_s: float, refused: bool = False
    ) -> float:
        """Count one answer; the seconds that the gateway sits out from now, or 0.

        A refused connection ejects at once, other bad answers when two come in a row.
        """
        one = self._gateways.get(gateway)
        if one is None:
            one = self._gateways[gateway] = _Gateway()
        one.good, one.at_s = good, now_s
        if good:
            one.bad_in_a_row = one.ejections = 0
            return 0.0
        one.bad_in_a_row += 1
        enough = refused or one.bad_in_a_row >= _CONSECUTIVE
        if not enough or now_s < one.ejected_until_s or not self.confined(now_s):
            return 0.0
        seconds = min(_MOST_S, _BASE_S * 2.0**one.ejections)
        one.ejections += 1
        one.ejected_until_s = now_s + seconds
        self._any_ejected = True
        return seconds

    def confined(self, now_s: float) -> bool:
        """Tell whether some gateway does well, so that trouble is not the region's."""
        return any(_does_well(one, now_s) for one in self._gateways.values())

    def avoided(self, now_s: float) -> frozenset[str]:
        """Name the gateways to pass by now: none unless another one does well."""
        if not self._any_ejected:
            return _NOBODY
        out = {name: one for name, one in self._gateways.items() if one.out}
        if not out:
            self._any_ejected = False
            return _NOBODY
        barred = frozenset(
            name
            for name, one in out.items()
            if now_s < one.ejected_until_s or now_s - one.tried_at_s < _TRIAL_S
        )
        return barred if self.confined(now_s) else _NOBODY

    def asked(self, gateway: str, now_s: float) -> None:
        """Take in that a statement goes to a gateway: a trial if it was ejected."""
        if self._any_ejected:
            one = self._gateways.get(gateway)
            if one is not None and one.out:
                one.tried_at_s = now_s

    def sits_out(self, gateway: str) -> bool:
        """Tell whether a gateway was ejected and has not answered well since."""
        if not self._any_ejected:
            return False
        one = self._gateways.get(gateway)
        return one is not None and one.out

    def clear(self) -> None:
        """Forget everything: the region as a whole is judged from here."""
        self._gateways.clear()
        self._any_ejected = False


def _does_well(one: _Gateway, now_s: float) -> bool:
    return one.good and now_s - one.at_s < _RECENT_S
