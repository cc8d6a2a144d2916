"""Runs work ahead in threads while earlier results are used, so that only the slowest step sets the pace."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from queue import Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield ``items``, which a separate thread makes up to ``count`` items ahead of their use.

    Exceptions of the thread are raised here. If the items are not used to the end, the thread stops at the next item,
    and the program waits for that before it exits: exiting while a thread is inside a library's code would abort it.
    """
    queue: Queue[tuple[bool, Item | BaseException | None]] = Queue(count)
    stopped = threading.Event()

    def is_over() -> bool:
        return stopped.is_set() or not threading.main_thread().is_alive()

    def put(more: bool, item: Item | BaseException | None) -> None:
        while not is_over():
            try:
                return queue.put((more, item), timeout=0.1)
            except Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(True, item)
                if is_over():
                    return
            put(False, None)
        except BaseException as error:
            put(False, error)

    def results() -> Iterator[Item]:
        while True:
            more, item = queue.get()
            if more:
                yield item  # type: ignore[misc]
            elif item is None:
                return
            else:
                raise item  # type: ignore[misc]

    thread = threading.Thread(target=work)
    try:
        thread.start()
        with closing(results()) as made:  # type: ignore[type-var]
            yield from made
    finally:
        stopped.set()
        if thread.ident is not None:  # else it was stopped before it began
            thread.join()


def even_parts(length: int, count: int) -> list[tuple[int, int]]:
    """Return the first and the stop of ``count`` parts of ``length`` layers, of about the same size; none is empty."""
    ends = [part * length // count for part in range(count + 1)]
    return [(first, stop) for first, stop in pairwise(ends) if first < stop]


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield ``work(item)`` for each item, in order, done by ``threads`` threads; few items are in memory at once."""
    if threads == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
