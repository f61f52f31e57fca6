"""What can be expected to go wrong, in any room."""

from __future__ import annotations

from chaos.lab_state import NoLabError as NoLabFileError
from chaos.runner import ExperimentError
from cockroach.asking import NotReachableError
from cockroach.embedded import EmbeddedError
from cockroach.placing import PlacingError
from cockroach.urls import UrlError
from lab.children import ChildDiedError, PreloadError
from lab.health import NotReadyError
from lab.layout import PortsTakenError
from lab.report.stored import ReportError
from lab.state import LabRunningError, NoLabError
from links.errors import LinkError
from observability.collector import CollectorStartError

# What a user can do something about: a sentence and exit code 2, no traceback.
EXPECTED = (
    EmbeddedError,
    ExperimentError,
    NoLabFileError,
    LinkError,
    CollectorStartError,
    LabRunningError,
    NoLabError,
    PortsTakenError,
    PreloadError,
    ChildDiedError,
    NotReadyError,
    ReportError,
    NotReachableError,
    PlacingError,
    UrlError,
    OSError,
)
