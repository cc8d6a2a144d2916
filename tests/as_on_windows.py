"""What Python lacks on Windows is taken away: ``import as_on_windows`` before anything else."""

import os
import signal
import sys

for module, names in (
    (os, ("fork", "getuid", "geteuid", "getgid", "getegid", "sched_getaffinity")),
    (signal, ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGHUP", "pthread_sigmask", "sigwaitinfo", "SIG_BLOCK", "SIG_UNBLOCK")),
):
    for name in names:
        delattr(module, name)
for name in ("fcntl", "grp", "pwd", "termios"):
    sys.modules[name] = None
