"""The estate over HTTP: parse, call one verb, present."""
