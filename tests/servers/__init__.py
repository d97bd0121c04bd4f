"""Real servers for tests: Valkey, PostgreSQL and a browser, found or installed without a container."""
