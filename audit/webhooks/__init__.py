"""Webhooks: an organization's events, signed and sent to its own receivers, in order. docs/deliveries.md says how."""
