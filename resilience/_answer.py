"""An answer that no attempt of this call brought: a fallback, or a shared copy."""

import copy
from typing import Any, NamedTuple

from resilience._wire import CACHE, FALLBACK


class Answer(NamedTuple):
    """Responses with the metadata to show beside them.

    *responses* holds one message for a call with a single response.
    """

    responses: tuple[Any, ...]
    initial: tuple[tuple[str, Any], ...] = ()
    trailers: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def second_best(cls, responses: tuple[Any, ...], reason: str) -> "Answer":
        """Return a fallback's answer, marked as one."""
        return cls(responses, (), ((FALLBACK, reason),))

    def shared(self, source: str) -> "Answer":
        """Return a copy for one of several readers, marked with its *source*.

        Messages can be changed by who gets them, so everybody gets their own.
        """
        responses = tuple(copy.deepcopy(message) for message in self.responses)
        return Answer(responses, self.initial, (*self.trailers, (CACHE, source)))
