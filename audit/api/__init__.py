"""The audit trail over HTTP: read only."""
