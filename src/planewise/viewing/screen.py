"""Whether a window can be opened here."""

import os
import sys

WITHOUT = ("offscreen", "minimal", "vnc")  # Qt's platforms without a screen of this machine


def has_screen() -> bool:
    """Whether there is a real screen."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def needs_no_screen() -> bool:
    """Whether Qt is set to run without a screen."""
    return os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0] in WITHOUT
