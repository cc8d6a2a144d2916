"""Tables and figures from files on disk. Nothing here knows a model."""
