"""The HTTP API of tokens."""
