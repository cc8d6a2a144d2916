"""The verbs of the Python interface: they take arrays or paths and return values, and print nothing."""
