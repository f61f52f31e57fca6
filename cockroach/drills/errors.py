"""What can keep a drill from being run; a drill that ran and failed raises nothing.

* DrillError
  * TargetsError
  * HistoryError
  * DrillUnavailableError
"""

from __future__ import annotations


class DrillError(RuntimeError):
    """A drill could not be carried out, and so proves nothing."""


class TargetsError(DrillError):
    """The targets file says what cannot be understood."""


class HistoryError(DrillError):
    """The history of rehearsals cannot be read."""


class DrillUnavailableError(DrillError):
    """This drill, or this fault in it, cannot be had here; the message says why."""
