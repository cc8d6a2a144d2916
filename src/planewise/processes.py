"""Processes of this machine: Ctrl-C and SIGTERM are for the one that was started; the others end with it, silently."""

import multiprocessing
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
# Sent by batch systems before a job's end, on request; Windows has neither
WARNINGS = frozenset(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))
CAN_BLOCK = hasattr(signal, "pthread_sigmask")  # not on Windows
EXIT_TERMINATED = 128 + signal.SIGTERM
CALLED_BY_LLVM = {"_raw_object_cache_notify", "_raw_object_cache_getbuffer"}  # llvmlite's functions, for kernels
LOSES_ERRORS = {weakref.__file__}  # whose functions Python calls when an object dies
SOON = 0.01  # seconds until a postponed signal is sent again


class Terminated(SystemExit):
    """SIGTERM arrived: open files and processes are cleaned up, as after Ctrl-C."""

    def __init__(self, code: int = EXIT_TERMINATED) -> None:
        super().__init__(code)


_ending = False  # whether this process has stopped its work, so that nothing is left to interrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _ending and not _postponed(number, frame):
        raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    if _ending or _postponed(number, frame):
        return
    signal.signal(signal.SIGTERM, _pass)  # a second one must not interrupt cleaning up
    raise Terminated


def _pass(number: int, frame: FrameType | None) -> None:
    """Do nothing, instead of SIG_IGN: for a signal that arrives while that is set, Python would print an error."""


def _postponed(number: int, frame: FrameType | None) -> bool:
    """Postpone a signal that arrives while a kernel is compiled or an object dies: what is raised in there is lost.

    Returns whether it was postponed: then it is sent again.
    """
    while frame is not None:
        code = frame.f_code
        if code.co_name in CALLED_BY_LLVM or code.co_name == "__del__" or code.co_filename in LOSES_ERRORS:
            again = threading.Timer(SOON, _send, (number,))
            again.daemon = True
            again.start()
            return True
        frame = frame.f_back
    return False


def _send(number: int) -> None:
    if sys.platform == "win32":  # where os.kill would end the process
        signal.raise_signal(number)
    else:  # to the process: this thread may block the signal
        os.kill(os.getpid(), number)


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """In here SIGTERM raises ``Terminated``, as Ctrl-C raises KeyboardInterrupt; neither within LLVM's calls.

    Where one of them leaves this, the process is expected to end, and further ones do nothing: raised while it prints
    its last line, or while Python ends, they would only give a traceback.
    """
    global _ending
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    _ending = False
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _terminate)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        _ending = True
        raise
    finally:
        if not _ending:
            for number, handler in before.items():
                signal.signal(number, handler)


class StopRequest:
    """Whether this process was asked to stop, and by which signal; shared with spawned processes."""

    def __init__(self) -> None:
        self._number = get_context("spawn").RawValue("i", 0)  # without a lock, which a signal could interrupt

    def __bool__(self) -> bool:
        return bool(self._number.value)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal by noting it. A second Ctrl-C raises KeyboardInterrupt."""
        if not self:
            self._number.value = number
            os.write(2, b"planewise: stopping after this step; Ctrl-C once more stops without saving it\n")
        elif number == signal.SIGINT:
            _interrupt(number, frame)

    def stop(self) -> NoReturn:
        """Raise what the signal otherwise raises; ``Terminated`` if another process received it."""
        if self._number.value == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(128 + (self._number.value or signal.SIGTERM))


@contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """In here Ctrl-C, SIGTERM and ``WARNINGS`` raise nothing: they are noted, for a loop that ends at a good point."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.note) for number in SIGNALS | WARNINGS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded(signals: Collection[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Processes and threads that are started in here do not get the signals; this process gets them afterwards.

    On Windows, which cannot block signals, workers ignore Ctrl-C only once they have begun.
    """
    if not CAN_BLOCK:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
    resource_tracker.ensure_running()  # multiprocessing's own process, whose start lets the others in again
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerPool:
    """``count`` processes that call ``initialise(*arguments)`` and then do the submitted work.

    After Ctrl-C or SIGTERM they stop their work and clean up; if this process is killed, they end too.
    """

    def __init__(self, count: int, initialise: Callable[..., None] | None = None, *arguments: Any) -> None:
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (initialise, arguments))
        self.count = count

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Run ``work(*arguments)`` in one of the processes. The result raises BrokenProcessPool if one dies."""
        try:
            with shielded():
                return self._pool.submit(work, *arguments)
        except BrokenProcessPool as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            for process in list((self._pool._processes or {}).values()):  # public from Python 3.14 on
                process.terminate()
        self._pool.shutdown(cancel_futures=True)


def _begin(initialise: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    end_with_parent()
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _terminate)
        if CAN_BLOCK:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if initialise is not None:
            initialise(*arguments)
    except Terminated:
        os._exit(EXIT_TERMINATED)  # a pool would print a traceback of errors in its initialiser


def end_with_parent() -> None:
    """Let this process end when the process that spawned it ends in any way; without such a parent, do nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_end, args=(parent,), daemon=True).start()


def _wait_and_end(parent: Any) -> None:
    parent.join()
    os._exit(1)


def end_by_parent_alone() -> None:
    """Let SIGTERM end this process if its parent sent it, but not if a batch system sent it to all processes."""
    if hasattr(signal, "sigwaitinfo"):  # missing on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, daemon=True).start()


def _end_by_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def in_thread(spawn_and_wait: Callable[[], Any]) -> Any:
    """Call a function that spawns processes and waits for them, in a thread, without signals; return its result.

    On KeyboardInterrupt and ``Terminated`` they are killed.
    """
    with ThreadPoolExecutor(1) as threads:
        with shielded(SIGNALS | WARNINGS):
            done = threads.submit(spawn_and_wait)
        try:
            return done.result()
        except (KeyboardInterrupt, Terminated):
            while not done.done():  # it may be about to spawn another
                for process in multiprocessing.active_children():
                    process.kill()
                    process.join()
                wait([done], timeout=0.1)
            raise
