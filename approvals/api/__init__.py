"""Requests for approval under /api/v1/."""
