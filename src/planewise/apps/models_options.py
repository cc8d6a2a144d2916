"""The options of ``planewise models``: none."""

from planewise.options import Options


class Models(Options):
    """List the published models that are known by name: kind, size, licence, whether they are here, whom to cite."""
