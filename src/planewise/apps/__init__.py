"""The applications: each a short recipe over the core."""
