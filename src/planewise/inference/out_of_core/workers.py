"""Other processes, here or on other machines, that do tasks: dask.distributed. Only the imports cost without it."""

import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from planewise.errors import PlanewiseError
from planewise.processes import shielded

START_SECONDS = 60  # that a scheduler may take to answer


class Cluster:
    """Workers of a scheduler that runs already, or ``count`` processes of this machine for as long as this lasts.

    See ``segment.Workers``. A task whose worker dies is done again by another, with what it needs. Raises
    PlanewiseError if dask is not installed or the scheduler does not answer.
    """

    def __init__(self, scheduler: str | None, count: int) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise PlanewiseError("--workers and --scheduler need dask: pip install planewise[cluster]") from error
        for name in logging.root.manager.loggerDict:
            if name.startswith("distributed"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told once, by us
        self._cluster: Any = None
        if scheduler is None:
            with shielded():
                self._cluster = LocalCluster(
                    n_workers=count, threads_per_worker=1, dashboard_address=None, memory_limit=None, silence_logs=50
                )
        try:
            self._client = Client(self._cluster or scheduler, timeout=START_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            raise PlanewiseError(f"--scheduler {scheduler}: does not answer ({error}); start dask scheduler") from error

    def size(self) -> int:
        """Return how many workers there are now. Raises PlanewiseError if none comes within a minute."""
        try:
            self._client.wait_for_workers(1, timeout=START_SECONDS)
        except TimeoutError as error:
            raise PlanewiseError(
                "--scheduler: has no workers; start dask worker, or wait for the batch system"
            ) from error
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def submit(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """See ``Workers``."""
        return self._client.submit(task, *arguments, pure=False)

    def wait(self, results: list[Any], most: int) -> list[Any]:
        """See ``Workers``."""
        from distributed import wait

        waiting = list(results)
        while len(waiting) > most:
            done = _told(partial(wait, waiting, return_when="FIRST_COMPLETED")).done
            for future in done:
                self.result(future)
            waiting = [future for future in waiting if future not in done]
        return waiting

    def result(self, submitted: Any) -> Any:
        """Return what a task made, when it is done. Raises PlanewiseError if it failed, or its workers keep dying."""
        return _told(submitted.result)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=5)


def _told(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except PlanewiseError:
        raise
    except Exception as error:  # a task's own error, or what dask makes of lost workers and schedulers
        raise PlanewiseError(f"a task failed ({type(error).__name__}: {error})") from error
