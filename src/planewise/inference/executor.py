"""One interface for work done by this process, by processes of this machine, or by the workers of a dask scheduler.

Work is a function of slices, a patient, a slab or a block. What it needs loaded, such as a network, is made once by a
``Source`` in the worker's process, and passed to it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from planewise.errors import PlanewiseError
from planewise.inference.worker import Loading, Source, gpus
from planewise.progress import say
from planewise.volumes.machine import machine_cores


class WorkerDied(PlanewiseError):
    """All workers that tried a piece of work died."""


class SchedulerGone(PlanewiseError):
    """The scheduler no longer answers; its workers may still finish what they have begun."""


class Executor(ABC):
    """Does work, as a context manager.

    ``submit`` returns a placeholder for the result, which may be an argument of other work.
    """

    in_this_process = False  # whether this process does all work; what is handed to the work is then not copied

    def __init__(self, loading: Loading) -> None:
        self.loading = loading

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of pieces of work that are done at a time."""

    @abstractmethod
    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Have ``work(*arguments)`` done."""

    @abstractmethod
    def submit_loaded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Submit ``work(loaded, *arguments)``; ``loaded``: what the source made for the worker."""

    @abstractmethod
    def result(self, submitted: Any) -> Any:
        """Wait for a result and return it. Raises the work's exception, ``WorkerDied``, or PlanewiseError."""

    @abstractmethod
    def first_done(self, submitted: list[Any]) -> set[Any]:
        """Wait until at least one is done, and return those that are."""

    def cancel(self, submitted: Any) -> None:
        """Cancel work that is no longer needed; work that has begun may continue."""
        submitted.cancel()

    def wait(self, submitted: list[Any], most: int) -> list[Any]:
        """Wait until at most ``most`` are not done, and return these. For errors see ``result``."""
        waiting = list(submitted)
        while len(waiting) > most:
            done = self.first_done(waiting)
            for one in done:
                self.result(one)
            waiting = [one for one in waiting if one not in done]
        return waiting

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the workers that this started; after Ctrl-C or SIGTERM, their unfinished work is dropped."""


class ThisProcess(Executor):
    """This process does all work: what needs something loaded, such as a network, at once when it is submitted, and
    everything else in threads beside it.
    """

    in_this_process = True
    size = 1  # and the memory of a job is planned for one piece that is finished beside the next

    def __init__(self, source: Source, device: str = "cpu") -> None:
        super().__init__(Loading(source, device))
        self._threads = ThreadPoolExecutor(machine_cores())  # starts each when there is work for it

    @cached_property
    def _loaded(self) -> Any:
        return self.loading.source(self.loading.device)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See ``Executor``."""
        # The work that it waits for was submitted before it, and so begun before it.
        return self._threads.submit(lambda: work(*map(_ready, arguments)))

    def submit_loaded(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """See ``Executor``."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(self._loaded, *map(_ready, arguments)))
        except Exception as error:
            done.set_exception(error)
        return done

    def result(self, submitted: "Future[Any]") -> Any:
        """See ``Executor``."""
        return submitted.result()

    def first_done(self, submitted: "list[Future[Any]]") -> "set[Future[Any]]":
        """See ``Executor``."""
        return wait(submitted, return_when=FIRST_COMPLETED).done

    def wait(self, submitted: "list[Future[Any]]", most: int) -> "list[Future[Any]]":
        """See ``Executor``. After an error no thread goes on writing: all other work is waited for, or dropped."""
        try:
            return super().wait(submitted, most)
        except BaseException:
            self._threads.shutdown(cancel_futures=True)
            self._threads = ThreadPoolExecutor(machine_cores())
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """See ``Executor``."""
        self._threads.shutdown(cancel_futures=kind is not None)


def _ready(argument: Any) -> Any:
    return argument.result() if isinstance(argument, Future) else argument


def executor(source: Source, device: str, devices: int = 1, workers: int = 0, scheduler: str | None = None) -> Executor:
    """Return the executor: the workers of a ``scheduler``, ``workers`` of a new one, ``devices``, or this process.

    ``device``: cpu, cuda or mps; of several GPUs each worker uses a different one, if there are enough. Raises
    PlanewiseError if dask is needed and not installed, or the scheduler does not answer.
    """
    count = workers or devices
    if scheduler is None and device == "cuda" and count > (there := len(gpus())) > 0:
        say(f"{count} workers share {there} {'GPU' if there == 1 else 'GPUs'}: this machine has no more")
    if scheduler is not None or workers:
        from planewise.inference.cluster import Cluster

        return Cluster(source, device, scheduler, workers)
    if devices > 1:
        from planewise.inference.processes import Processes

        return Processes(source, device, devices)
    return ThisProcess(source, device)


def name_of(work: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """Return the name of a piece of work for messages: its function, and the plain arguments."""
    plain = [str(one) for one in arguments if isinstance(one, (str, int))]
    return " ".join([work.__name__.strip("_").replace("_", " "), *plain])
