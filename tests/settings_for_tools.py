"""The product's settings as mypy's Django plugin loads them: with stand-ins for the secrets that have no default."""

import os

os.environ.setdefault("SECRET_KEY", "for-tools-only")
os.environ.setdefault("TOKENHOUSE_PEPPERS", "1:" + "00" * 32)

from config.settings import *  # noqa: F403
