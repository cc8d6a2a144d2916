"""The applications: each is a short recipe built on the core."""
