"""The names that server and client processes agree on."""

from typing import Final

SERVICE: Final = "seawall.Bench"
ECHO: Final = f"/{SERVICE}/Echo"
STREAM: Final = f"/{SERVICE}/Stream"
FAIL: Final = f"/{SERVICE}/Fail"
CPU: Final = f"/{SERVICE}/Cpu"

REQUEST: Final = b"x" * 64
"""Bytes, so that nothing is measured of protobuf."""

SEQUENTIAL: Final = "sequential"
IN_FLIGHT: Final = "32 in flight"
STREAMED: Final = "streamed message"
CALLERS: Final = 32

FOR_CLIENTS: Final = "for the clients"
"""The server that client variants call, in a process apart from the others."""
