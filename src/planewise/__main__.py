"""``python -m planewise`` is ``planewise``."""

from planewise.cli import main

if __name__ == "__main__":
    main()
