"""Tables and figures from files on disk. Nothing here depends on a model."""
