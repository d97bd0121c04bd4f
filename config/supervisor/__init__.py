"""`make run`: one process that starts the whole product on one machine and keeps it running.

Owns the data folder, the children (Valkey, web, worker, timers) and what is printed. It never imports Django's
settings: `prepare_database` does, in a child of its own.
"""
