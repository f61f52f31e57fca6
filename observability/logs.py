"""Log lines as JSON objects, each with the trace and span it belongs to.

What looks like a secret is masked before it is written.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from opentelemetry import trace

_MASK = "***"
_SECRET_KEY = re.compile(
    r"password|passwd|secret|authorization|card|token|credential|private_key",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?P<url>://[^:/@\s]+:)[^@\s]+(?=@)"
    r"|(?P<pair>\b(?:password|passwd|secret|token|authorization)\s*[=:]\s*)\S+"
    r"|\btok_\w+",
    re.IGNORECASE,
)
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Mask passwords in URLs and `key=value` pairs, and card tokens."""
    return _SECRET_TEXT.sub(
        lambda found: (found["url"] or found["pair"] or "") + _MASK, text
    )


class JsonFormatter(logging.Formatter):
    """One JSON object per line; `extra` fields become fields of the object."""

    def __init__(self, **fixed: str) -> None:
        super().__init__()
        self._fixed = fixed

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **self._fixed,
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
            line["span_id"] = f"{context.span_id:016x}"
        for key, value in vars(record).items():
            if key not in _PLAIN and key not in line:
                line[key] = _MASK if _SECRET_KEY.search(key) else _plain(value)
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def setup_logging(
    *,
    service: str,
    region: str,
    zone: str,
    instance: str,
    path: str = "",
    level: int | str = logging.INFO,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send the root logger's lines to `path`, or to standard error.

    An earlier handler of this kind is replaced. Raises OSError when the file
    cannot be opened.
    """
    handler: logging.Handler
    if path:
        handler = logging.FileHandler(path, encoding="utf-8")
    else:
        handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter(service=service, region=region, zone=zone, instance=instance)
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h.formatter, JsonFormatter)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def _plain(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            str(key): _MASK if _SECRET_KEY.search(str(key)) else _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value
