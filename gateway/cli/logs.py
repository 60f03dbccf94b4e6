"""Sets the log up: events with names and fields; no secret, address or payload at info level."""

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

# Without local variables: they hold tokens and people's data.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


class _StandardError:
    """Writes to what is standard error now, and fails nobody.

    A signup must not be refused because the process that read the log is gone (a closed pipe, a full disk).
    """

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: closed
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def configure(log_format: str | None = None, level: str | None = None) -> None:
    """Configure structlog for this process, from ``GATEWAY_LOG_FORMAT`` and ``GATEWAY_LOG_LEVEL`` by default.

    Read from the environment and not from Settings: the log must work when a setting is wrong.
    """
    log_format = log_format or os.environ.get("GATEWAY_LOG_FORMAT", "json")
    level = (level or os.environ.get("GATEWAY_LOG_LEVEL", "info")).upper()
    threshold = logging.getLevelNamesMapping().get(level, logging.INFO)
    renderer: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if log_format == "console"
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    stream = cast("TextIO", _StandardError())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), stream=stream, force=True)
