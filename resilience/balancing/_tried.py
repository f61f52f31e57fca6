"""Which backends the attempts of one call went to."""

from typing import Any

from resilience._attempt import TRIED
from resilience._wire import PREVIOUS_ATTEMPTS


def tried_so_far(metadata: Any) -> set[str]:
    """Return the backends that the call at hand has tried; add to it what is picked.

    A call's first attempt begins a set of its own: a context is inherited by calls
    that have nothing to do with each other. An empty one was laid out for it by
    whoever sends several attempts side by side.
    """
    tried = TRIED.get()
    again = any(key == PREVIOUS_ATTEMPTS for key, _ in metadata or ())
    if tried is None or (tried and not again):
        tried = set()
        TRIED.set(tried)
    return tried


def note(tried: set[str], name: str) -> None:
    """Add *name*; once all were tried the round begins anew."""
    if name in tried:
        tried.clear()
    tried.add(name)
