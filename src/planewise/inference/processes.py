"""Work done by independent processes of this machine, so that if one dies, only its piece of work is repeated."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from planewise.inference.executor import Executor, WorkerDied, name_of
from planewise.inference.worker import Loading, Source, Worker, threads_of_each
from planewise.processes import WorkerPool, shielded
from planewise.progress import say
from planewise.volumes.machine import cores_of_each, use_cores

DEATHS = 3  # of workers that did the same piece of work, before it is given up


@dataclass(frozen=True)
class _Piece:
    """A piece of work that waits for a worker."""

    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    name: str
    future: "Future[Any]" = field(default_factory=Future)


class Processes(Executor):
    """``count`` processes of this machine, each served by a thread of this one.

    A process that dies is replaced and its work repeated; after ``DEATHS`` deaths the work fails with ``WorkerDied``.
    """

    def __init__(self, source: Source, device: str, count: int) -> None:
        super().__init__(Loading(source, device, threads_of_each(count, device)))
        self._pieces: SimpleQueue[_Piece | None] = SimpleQueue()
        self._lock, self._leaving = threading.Lock(), False
        self._cores = cores_of_each(count)
        self._pools = [self._pool() for _ in range(count)]
        self._threads = [threading.Thread(target=self._serve, args=(place,), daemon=True) for place in range(count)]
        with shielded():
            for thread in self._threads:
                thread.start()

    def _pool(self) -> WorkerPool:
        return WorkerPool(1, use_cores, self._cores)

    @property
    def size(self) -> int:
        """See ``Executor``."""
        return len(self._pools)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See ``Executor``."""
        return self._put(_Piece(work, arguments, name_of(work, arguments)))

    def submit_loaded(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See ``Executor``."""
        return self._put(_Piece(_with_loaded, (self.loading, work, *arguments), name_of(work, arguments)))

    def _put(self, piece: _Piece) -> "Future[Any]":
        self._pieces.put(piece)
        return piece.future

    def result(self, submitted: "Future[Any]") -> Any:
        """See ``Executor``."""
        return submitted.result()

    def first_done(self, submitted: "list[Future[Any]]") -> "set[Future[Any]]":
        """See ``Executor``."""
        return wait(submitted, return_when=FIRST_COMPLETED).done

    def _serve(self, place: int) -> None:
        while (piece := self._pieces.get()) is not None:
            if piece.future.set_running_or_notify_cancel():
                try:
                    # Those that it waits for were submitted before it, and so begun before it.
                    ready = [one.result() if isinstance(one, Future) else one for one in piece.arguments]
                    piece.future.set_result(self._done_by(place, piece, ready))
                except BaseException as error:  # of a worker that got SIGTERM too: Terminated
                    piece.future.set_exception(error)

    def _done_by(self, place: int, piece: _Piece, arguments: list[Any]) -> Any:
        """Return what a worker makes of a piece of work; one that dies is replaced."""
        for deaths in range(1, DEATHS + 1):
            with self._lock:
                if self._leaving:
                    break
                submitted = self._pools[place].submit(piece.work, *arguments)
            try:
                return submitted.result()
            except BrokenProcessPool:
                with self._lock:
                    if self._leaving:
                        break
                    self._pools[place].__exit__(None, None, None)
                    self._pools[place] = self._pool()
                if deaths < DEATHS:
                    say(f"worker {place + 1} of {self.size} died (killed, or out of memory); done again: {piece.name}")
        raise WorkerDied(
            f"{piece.name}: a worker process died (killed, or out of memory), {DEATHS} times; a smaller --batch_size "
            "or fewer --devices need less"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop what has not begun and wait for the rest; left by Ctrl-C or SIGTERM, drop that too."""
        if kind is not None and not issubclass(kind, Exception):
            with self._lock:
                self._leaving = True
        try:
            while True:
                if piece := self._pieces.get_nowait():
                    piece.future.cancel()
        except Empty:
            pass
        for _ in self._threads:
            self._pieces.put(None)
        if self._leaving:
            for pool in self._pools:
                pool.__exit__(kind, error, traceback)
        for thread in self._threads:
            thread.join()
        for pool in self._pools:
            pool.__exit__(None, None, None)


def _with_loaded(loading: Loading, work: Callable[..., Any], *arguments: Any) -> Any:
    return work(Worker.of(multiprocessing.current_process()).loaded(loading), *arguments)
