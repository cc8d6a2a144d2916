"""The original command, with its flags: see ``planewise mito train --help`` and ``planewise mito predict --help``."""

from planewise.apps.original_commands import main_mito

if __name__ == "__main__":
    main_mito()
