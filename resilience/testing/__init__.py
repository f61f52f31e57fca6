"""For tests of services that use these policies.

A clock, recorders, scripts for real servers on the loopback, assertions, faults, and
switches that turn policies off.
"""

import importlib
from typing import TYPE_CHECKING, Any

from resilience._faults import FaultConfig
from resilience.testing._assertions import (
    assert_attempts,
    assert_no_permits_held,
    assert_one_outcome,
    assert_transitions,
)
from resilience.testing._clock import FakeClock
from resilience.testing._recorders import (
    RecordedAttempt,
    RecordingListener,
    RecordingObserver,
)
from resilience.testing._script import Delay, Fail, Hang, Script, Trailers, push_back
from resilience.testing._switch import PolicySwitch, policies_off

if TYPE_CHECKING:
    from resilience.testing.faults import (
        aio_client_faults,
        aio_server_faults,
        client_faults,
        server_faults,
    )
    from resilience.testing.servers import (
        Received,
        ScriptedServer,
        aio_scripted_server,
        scripted_server,
    )

__all__ = [
    "Delay",
    "Fail",
    "FakeClock",
    "FaultConfig",
    "Hang",
    "PolicySwitch",
    "Received",
    "RecordedAttempt",
    "RecordingListener",
    "RecordingObserver",
    "Script",
    "ScriptedServer",
    "Trailers",
    "aio_client_faults",
    "aio_scripted_server",
    "aio_server_faults",
    "assert_attempts",
    "assert_no_permits_held",
    "assert_one_outcome",
    "assert_transitions",
    "client_faults",
    "policies_off",
    "push_back",
    "scripted_server",
    "server_faults",
]

# Only who asks for a server or a fault imports grpc.
_HOMES = {
    "Received": "resilience.testing.servers",
    "ScriptedServer": "resilience.testing.servers",
    "aio_client_faults": "resilience.testing.faults",
    "aio_scripted_server": "resilience.testing.servers",
    "aio_server_faults": "resilience.testing.faults",
    "client_faults": "resilience.testing.faults",
    "scripted_server": "resilience.testing.servers",
    "server_faults": "resilience.testing.faults",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
