import subprocess
import sys
import threading

import pytest

from planewise.inference.ahead import ahead, even_parts, in_threads


def test_items_come_in_order_and_are_made_meanwhile():
    made, enough = [], threading.Event()

    def work():
        for i in range(6):
            made.append(i)
            if i == 3:  # one used, two waiting, one in hand: the next is not made before one is used
                enough.set()
            yield i

    items = ahead(work(), 2)
    assert next(items) == 0
    enough.wait()
    assert made == [0, 1, 2, 3]
    assert list(items) == [1, 2, 3, 4, 5]


def test_an_error_is_raised_where_the_items_are_used():
    def work():
        yield 1
        raise ValueError("no more")

    items = ahead(work(), 1)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_a_user_who_stops_early_leaves_no_thread():
    before = threading.active_count()
    items = ahead(iter(range(1000)), 1)
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_keep_the_order(threads):
    assert list(in_threads(lambda i: i * i, iter(range(50)), threads)) == [i * i for i in range(50)]
    assert list(in_threads(abs, iter([]), threads)) == []
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda i: 1 // i, iter([1, 0, 2]), threads))


def test_a_program_that_is_stopped_half_way_ends():
    left = "from planewise.inference.ahead import ahead; items = ahead(iter(range(9)), 1); print(next(items))"
    ended = subprocess.run(
        [sys.executable, "-c", left + "; keep = items"], capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout.split()) == (0, [b"0"])


def test_parts_are_even_and_none_is_empty():
    assert even_parts(10, 3) == [(0, 3), (3, 6), (6, 10)]
    assert even_parts(2, 5) == [(0, 1), (1, 2)]
    assert even_parts(0, 4) == []
