"""The release of an approved version: what the alias `champion` says becomes what serves, step by step."""
