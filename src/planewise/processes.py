"""Processes of this machine: Ctrl-C and SIGTERM are for the one that was started; the others end with it, silently."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
WARNINGS = frozenset({signal.SIGUSR1, signal.SIGUSR2})  # what batch systems send ahead of the end of a job, if asked to
EXIT_TERMINATED = 128 + signal.SIGTERM
CALLED_BY_LLVM = {"_raw_object_cache_notify", "_raw_object_cache_getbuffer"}  # llvmlite's functions, of kernels
SOON = 0.01  # seconds until a signal comes again


class Terminated(SystemExit):
    """SIGTERM came: open files and processes are cleaned up, as after Ctrl-C."""

    def __init__(self, code: int = EXIT_TERMINATED) -> None:
        super().__init__(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _postponed(number, frame):
        raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    if _postponed(number, frame):
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up is finished
    raise Terminated


def _postponed(number: int, frame: FrameType | None) -> bool:
    """Send a signal again later if it came while LLVM compiled, where an exception would be lost; return whether."""
    while frame is not None:
        if frame.f_code.co_name in CALLED_BY_LLVM:
            again = threading.Timer(SOON, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return True
        frame = frame.f_back
    return False


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """In here SIGTERM raises ``Terminated``, as Ctrl-C raises KeyboardInterrupt; neither within LLVM's calls."""
    if threading.current_thread() is not threading.main_thread():  # the only one that may say so
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _terminate)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopRequest:
    """Whether this process was asked to stop, and by which signal; spawned processes learn of it through this."""

    def __init__(self) -> None:
        self._number = get_context("spawn").RawValue("i", 0)  # without a lock, which a signal could come within

    def __bool__(self) -> bool:
        return bool(self._number.value)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: note it. Ctrl-C for a second time raises KeyboardInterrupt."""
        if not self:
            self._number.value = number
            os.write(2, b"planewise: stopping after this step; Ctrl-C once more stops without saving it\n")
        elif number == signal.SIGINT:
            _interrupt(number, frame)

    def stop(self) -> NoReturn:
        """Raise what the signal raises elsewhere; ``Terminated`` where another process got it."""
        if self._number.value == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(128 + (self._number.value or signal.SIGTERM))


@contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """In here Ctrl-C, SIGTERM and ``WARNINGS`` raise nothing: they are noted, for a loop that ends where it can."""
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
    """Processes and threads that are started in here do not get the signals; this one gets them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
    resource_tracker.ensure_running()  # multiprocessing's own process, whose start lets the others in again
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerPool:
    """``count`` processes that call ``initialise(*arguments)`` and then do what is submitted.

    Left by Ctrl-C or SIGTERM, they drop what they do, and clean up behind it; killed, this process takes them along.
    """

    def __init__(self, count: int, initialise: Callable[..., None] | None = None, *arguments: Any) -> None:
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (initialise, arguments))
        self.count = count

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Have ``work(*arguments)`` done in one of the processes. The result raises BrokenProcessPool if one dies."""
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
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if initialise is not None:
            initialise(*arguments)
    except Terminated:
        os._exit(EXIT_TERMINATED)  # a pool tells of what its initialiser raises, with a traceback


def end_with_parent() -> None:
    """Have this process end when the one that spawned it does, however that ends; if none did, nothing happens."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_end, args=(parent,), daemon=True).start()


def _wait_and_end(parent: Any) -> None:
    parent.join()
    os._exit(1)


def end_by_parent_alone() -> None:
    """Have SIGTERM end this process if its parent sent it; not if a batch system sent it to all there are."""
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, daemon=True).start()


def _end_by_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def in_thread(spawn_and_wait: Callable[[], Any]) -> Any:
    """Call what spawns processes and waits for them, in a thread, so that they get no signals; return its result.

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
