"""How often each periodic task is carried out: beat asks for it so often, and a timer's slot is as long."""

EVERY = {  # seconds, by task
    "audit.tasks.drain_outbox": 5.0,
    "audit.tasks.deliver": 30.0,
    "audit.tasks.deliver_webhooks": 5.0,
    "audit.tasks.forget_deliveries": 3600.0,
    "config.edge.tasks.heartbeat": 30.0,
    "tokens.tasks.record_emergency_ends": 15.0,
    "tokens.tasks.record_expiries": 30.0,
    "tokens.tasks.record_overlap_ends": 60.0,
    "tokens.tasks.record_counted_denials": 60.0,
    "tokens.tasks.announce_expiries": 600.0,
    "tokens.tasks.disable_unused": 3600.0,
    "approvals.tasks.watch_requests": 60.0,
    "fleets.tasks.forget_sessions": 3600.0,
    "config.edge.tasks.forget_idempotency_keys": 3600.0,
    "config.edge.tasks.forget_rates": 3600.0,
}
