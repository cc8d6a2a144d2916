"""Matches the objects of two sets one to one, so that the sum of the gains is largest."""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import numba
import numpy as np

from planewise.inference.runs import find_root


@numba.njit(nogil=True, cache=True)
def assign_pairs(rows: np.ndarray, columns: np.ndarray, gain: np.ndarray, n_rows: int, n_columns: int) -> np.ndarray:
    """Choose pairs, each row and column at most once, with the largest sum of gains; return a mask of the pairs.

    Unlisted pairs gain nothing. The connected groups of pairs are solved separately, so sparse problems cost little
    more than reading them.
    """
    parents = np.arange(n_rows + n_columns)
    for k in range(len(rows)):
        a, b = find_root(parents, rows[k]), find_root(parents, n_rows + columns[k])
        parents[max(a, b)] = min(a, b)
    group = np.empty(len(rows), np.int64)
    for k in range(len(rows)):
        group[k] = find_root(parents, rows[k])
    order = np.argsort(group, kind="mergesort")
    chosen = np.zeros(len(rows), np.bool_)
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and group[order[stop]] == group[order[start]]:
            stop += 1
        members = order[start:stop]
        if len(members) == 1:  # as most are
            chosen[members[0]] = True
            start = stop
            continue
        row_ids, column_ids = np.unique(rows[members]), np.unique(columns[members])
        if len(row_ids) == 1 or len(column_ids) == 1:
            chosen[members[np.argmax(gain[members])]] = True
        else:
            cost = np.zeros((len(row_ids), len(column_ids)))
            for k in members:
                cost[np.searchsorted(row_ids, rows[k]), np.searchsorted(column_ids, columns[k])] = -gain[k]
            flip = len(row_ids) > len(column_ids)
            solution = _hungarian(np.ascontiguousarray(cost.T) if flip else cost)
            for k in members:
                row, column = np.searchsorted(row_ids, rows[k]), np.searchsorted(column_ids, columns[k])
                chosen[k] = solution[column] == row if flip else solution[row] == column
        start = stop
    return chosen


@numba.njit(nogil=True, cache=True)
def _hungarian(cost: np.ndarray) -> np.ndarray:
    """Return the column of each row in the cheapest assignment of ``cost`` (n, m), n <= m.

    Shortest augmenting paths with potentials (Jonker and Volgenant 1987, doi:10.1007/BF02278710).
    """
    n, m = cost.shape
    row_potential, column_potential = np.zeros(n), np.zeros(m)
    row_of = np.full(m, -1, np.int64)
    for start in range(n):
        distance, previous = np.full(m, np.inf), np.full(m, -1, np.int64)
        done = np.zeros(m, np.bool_)
        row, column, reached = start, np.int64(-1), 0.0
        while True:
            for j in range(m):
                if not done[j]:
                    through = reached + cost[row, j] - row_potential[row] - column_potential[j]
                    if through < distance[j]:
                        distance[j], previous[j] = through, column
            column, reached = np.int64(-1), np.inf
            for j in range(m):
                if not done[j] and distance[j] < reached:
                    column, reached = j, distance[j]
            done[column] = True
            if row_of[column] < 0:
                break
            row = row_of[column]
        row_potential[start] += reached
        for j in range(m):
            if done[j] and j != column:
                column_potential[j] += distance[j] - reached
                row_potential[row_of[j]] += reached - distance[j]
        while column >= 0:  # shift the assignments along the path
            before = previous[column]
            row_of[column] = row_of[before] if before >= 0 else start
            column = before
    solution = np.empty(n, np.int64)
    for j in range(m):
        if row_of[j] >= 0:
            solution[row_of[j]] = j
    return solution
