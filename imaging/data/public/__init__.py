"""Public image collections: where they are published, and how they are fetched whole or not at all.

The network is used by `fetch_public` alone, and only when it is called.
"""
