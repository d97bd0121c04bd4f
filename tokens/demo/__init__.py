"""The demo organization: two companies with four months of history, all of it made through the verbs."""
