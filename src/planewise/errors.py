"""The two ways a job can be refused. Both carry a message for the person who gave the command, never a traceback."""


class PlanewiseError(Exception):
    """A file, an option or a dataset that cannot be used.

    The message names it, says what was found, what is allowed, and what to do.
    """


class DatasetError(PlanewiseError):
    """A dataset with nothing usable in it."""
