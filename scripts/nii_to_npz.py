"""The original command, with its flags; ``planewise --help`` shows the new ones."""

from planewise.compat.scripts import main

if __name__ == "__main__":
    main(__file__)
