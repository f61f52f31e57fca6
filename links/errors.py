"""Everything a link can refuse, as one tree.

* LinkError
  * LinkExistsError
  * UnknownLinkError
  * BadAddressError
  * ControlError
  * ToxicError
    * ToxicExistsError
    * UnknownToxicError
    * UnknownToxicTypeError
    * BadStreamError
    * BadAttributesError
"""

from __future__ import annotations


class LinkError(Exception):
    """A link, or the engine that carries it, refused what was asked."""


class LinkExistsError(LinkError):
    """The name is taken by another link."""


class UnknownLinkError(LinkError):
    """No link has this name."""


class BadAddressError(LinkError, ValueError):
    """The text is not `host:port`."""


class ControlError(LinkError):
    """The engine's process could not be reached or did not understand."""


class ToxicError(LinkError):
    """A toxic was refused; nothing changed."""


class ToxicExistsError(ToxicError):
    """The link has a toxic of this name, in either direction."""


class UnknownToxicError(ToxicError):
    """The link has no toxic of this name."""


class UnknownToxicTypeError(ToxicError):
    """No toxic of this type is registered."""


class BadStreamError(ToxicError):
    """The stream is neither upstream nor downstream."""


class BadAttributesError(ToxicError, ValueError):
    """An attribute is unknown, of the wrong type or out of range."""


BY_NAME: dict[str, type[LinkError]] = {
    error.__name__: error
    for error in (
        LinkError,
        LinkExistsError,
        UnknownLinkError,
        BadAddressError,
        ControlError,
        ToxicError,
        ToxicExistsError,
        UnknownToxicError,
        UnknownToxicTypeError,
        BadStreamError,
        BadAttributesError,
    )
}
