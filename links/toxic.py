"""A toxic on a link: which fault, in which direction, on which share of connections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from links.errors import BadAttributesError, BadStreamError, UnknownToxicTypeError
from links.toxics import TYPES, Attributes

Stream = Literal["upstream", "downstream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """One fault in one direction.

    `upstream` is what the client sends, `downstream` what it receives.
    `toxicity` is the probability that a connection has the fault, drawn when the
    connection or the toxic begins and again when the toxic is updated.
    """

    name: str
    type: str
    stream: Stream
    toxicity: float
    attributes: Attributes

    @classmethod
    def make(
        cls,
        type_: str,
        *,
        name: str = "",
        stream: str = "downstream",
        toxicity: float = 1.0,
        attributes: Mapping[str, Any] | None = None,
        strict: bool = True,
    ) -> Self:
        """Make a toxic from plain values; the name defaults to `<type>_<stream>`.

        Raises BadStreamError, UnknownToxicTypeError, BadAttributesError.
        """
        folded = stream.lower()
        side: Stream
        if folded == "upstream":
            side = "upstream"
        elif folded == "downstream":
            side = "downstream"
        else:
            raise BadStreamError(
                "stream was invalid, can be either upstream or downstream"
            )
        if type_ not in TYPES:
            raise UnknownToxicTypeError(f"invalid toxic type: {type_!r}")
        return cls(
            name=name or f"{type_}_{side}",
            type=type_,
            stream=side,
            toxicity=_probability(toxicity),
            attributes=TYPES[type_]().changed(attributes or {}, strict=strict),
        )

    def updated(
        self,
        *,
        toxicity: float | None = None,
        attributes: Mapping[str, Any] | None = None,
        strict: bool = True,
    ) -> Self:
        """Give a copy with the attributes merged in; nothing else can change."""
        return replace(
            self,
            toxicity=self.toxicity if toxicity is None else _probability(toxicity),
            attributes=self.attributes.changed(attributes or {}, strict=strict),
        )

    def to_json(self) -> dict[str, Any]:
        """Give the toxic as plain JSON values, the way Toxiproxy writes them."""
        return {
            "attributes": self.attributes.to_json(),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }


def _probability(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadAttributesError(f"toxicity is a number, not {value!r}")
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise BadAttributesError(f"toxicity is between 0 and 1, not {value!r}")
    return float(value)
