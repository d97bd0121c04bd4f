"""Logging: one JSON object a line on stderr, with the request id, and without what looks like a secret."""

import logging
import logging.config
from typing import Any

import structlog
from structlog.types import EventDict, WrappedLogger

from config.edge.scrubbing import scrubbed


def scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut secrets out of every value, tracebacks included: the last resort behind not logging them at all."""
    return {key: scrubbed(value) for key, value in event.items()}


def _drop_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Django attaches the request object to its records; it holds the credential and does not belong in a log."""
    event.pop("request", None)
    return event


def configure(config: dict[str, Any]) -> None:
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _drop_request,
        structlog.processors.format_exc_info,
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        scrub,
                        structlog.processors.JSONRenderer(),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "loggers": {
                "django.request": {"level": "ERROR"},  # our own line says each request's status
                "django.security": {
                    "level": "CRITICAL"
                },  # a traceback a junk request: strangers would fill the log
            },
            "root": {"handlers": ["stderr"], "level": config["level"]},
        }
    )
