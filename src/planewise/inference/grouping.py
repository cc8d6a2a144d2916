"""One slice: from foreground, centres and offsets to connected objects.

Panoptic-DeepLab's grouping (Cheng et al. 2020, arXiv:1911.10194, section 3.2): every foreground pixel votes for the
position "pixel + offset" and joins the centre nearest to it. Centres and votes live on the heads' coarse grid, so a
cell of the grid decides for all its pixels. Pixels of one object that are not 8-connected become several objects.
"""

# mypy: disable-error-code="arg-type, assignment, operator, return-value"
# (the kernels' integers are numba's machine integers, which mypy takes for Python's)

import numba
import numpy as np

from planewise.inference.runs import Runs, SliceObjects, connect

STEP = 4  # side, in pixels of the network's input, of a cell of the heads' grid
BUCKET = 16  # side, in cells, of the squares that centres are sorted into for the nearest-centre search


def group_slice(
    foreground: np.ndarray, width: int, centres: np.ndarray, offsets: np.ndarray, scale: int
) -> SliceObjects:
    """Label the objects of one slice of ``width`` columns.

    ``foreground`` (H, ceil(width / 8)) uint8: bits along the rows, as ``np.packbits`` makes them; ``centres``: see
    ``find_centres``; ``offsets`` (2, h, w) float32, (dy, dx), on a grid of which one cell covers ``4 * scale`` pixels a
    side; the offsets are in pixels of the network's input, of which a cell covers 4 a side. Returns no objects where
    there is no centre.
    """
    return connect(Runs(*_group(foreground, width, offsets, centres, STEP, STEP * scale)))


def least_logit(confidence: float) -> float:
    """Return the smallest float32 whose float32 sigmoid is at least ``confidence``.

    Comparing logits with it gives bit for bit what comparing probabilities with ``confidence`` gives, and saves
    the probabilities.
    """
    low, high = np.float32(-100), np.float32(100)  # the sigmoid is 0 and 1 there
    with np.errstate(over="ignore"):
        while True:
            middle = np.float32((np.float64(low) + np.float64(high)) / 2)
            if middle in (low, high):
                return float(high)
            if np.float32(1) / (np.float32(1) + np.exp(-middle)) >= np.float32(confidence):
                high = middle
            else:
                low = middle


@numba.njit(nogil=True, cache=True)
def find_centres(heatmap: np.ndarray, threshold: float, kernel: int) -> np.ndarray:
    """Return the centres (n, 2) int64, (row, column) in row order: every cell above ``threshold`` that equals the
    maximum of its ``kernel`` x ``kernel`` neighbourhood. Of equal neighbours all stay."""
    height, width = heatmap.shape
    before = kernel // 2
    after = kernel - 1 - before
    centres = np.empty((height * width, 2), np.int64)
    count = 0
    for row in range(height):
        for column in range(width):
            value = heatmap[row, column]
            if not value > threshold:
                continue
            largest = True
            for r in range(max(row - before, 0), min(row + after + 1, height)):
                for c in range(max(column - before, 0), min(column + after + 1, width)):
                    if heatmap[r, c] > value:
                        largest = False
                        break
                if not largest:
                    break
            if largest:
                centres[count] = row, column
                count += 1
    return centres[:count].copy()


@numba.njit(nogil=True, cache=True)
def _bucket_centres(centres: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort centres into squares: return (start of each square's centres, indices of the centres by square)."""
    starts = np.zeros(rows * columns + 1, np.int64)
    for i in range(len(centres)):
        starts[centres[i, 0] // BUCKET * columns + centres[i, 1] // BUCKET + 1] += 1
    starts = np.cumsum(starts)
    order = np.empty(len(centres), np.int64)
    fill = starts.copy()
    for i in range(len(centres)):
        square = centres[i, 0] // BUCKET * columns + centres[i, 1] // BUCKET
        order[fill[square]] = i
        fill[square] += 1
    return starts, order


@numba.njit(nogil=True, cache=True)
def _nearest(
    y: float, x: float, centres: np.ndarray, starts: np.ndarray, order: np.ndarray, rows: int, columns: int, step: int
) -> int:
    """Return the index of the centre nearest to (y, x), in input pixels; of equally near ones the first.

    Squares are searched in growing rings, until a ring cannot hold anything nearer.
    """
    side = BUCKET * step
    home_row = min(max(np.int64(np.floor(y / side)), 0), rows - 1)
    home_column = min(max(np.int64(np.floor(x / side)), 0), columns - 1)
    best, nearest = np.int64(-1), np.inf
    for ring in range(max(rows, columns) + 1):
        if best >= 0:
            # Everything in this ring is at least this far from a position in the home square; a position outside
            # the grid is further still from all squares but those on its side, so the bound is taken from it too.
            gap = min(
                y - (home_row - ring + 1) * side,
                (home_row + ring) * side - y,
                x - (home_column - ring + 1) * side,
                (home_column + ring) * side - x,
            )
            if gap > 0 and gap * gap > nearest:
                break
        for row in range(max(home_row - ring, 0), min(home_row + ring + 1, rows)):
            edge = row == home_row - ring or row == home_row + ring
            stride = 1 if edge or ring == 0 else 2 * ring
            for column in range(home_column - ring, home_column + ring + 1, stride):
                if column < 0 or column >= columns:
                    continue
                square = row * columns + column
                for k in range(starts[square], starts[square + 1]):
                    i = order[k]
                    dy, dx = centres[i, 0] * step - y, centres[i, 1] * step - x
                    distance = dy * dy + dx * dx
                    if distance < nearest or (distance == nearest and i < best):
                        best, nearest = i, distance
    return best


@numba.njit(nogil=True, cache=True)
def _foreground_runs(bits: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (row_starts, start, stop) of the stretches of pixels whose bits are set, of ``width`` pixels in a row."""
    height = len(bits)
    row_starts = np.zeros(height + 1, np.int64)
    most = height * ((width + 1) // 2)
    start, stop = np.empty(most, np.int32), np.empty(most, np.int32)  # memory that is not written costs nothing
    count = 0
    for y in range(height):
        inside, same = 0, 0  # same: a byte in which nothing changes
        for byte in range(bits.shape[1]):
            eight = bits[y, byte]
            if eight == same:
                continue
            for x in range(8 * byte, min(8 * byte + 8, width)):
                bit = eight >> (7 - (x & 7)) & 1
                if bit != inside:
                    inside = bit
                    if inside:
                        start[count] = x
                    else:
                        stop[count] = x
                        count += 1
            same = 255 * inside
        if inside:
            stop[count] = width
            count += 1
        row_starts[y + 1] = count
    return row_starts, start[:count], stop[:count]


@numba.njit(nogil=True, cache=True)
def _group(
    bits: np.ndarray, width: int, offsets: np.ndarray, centres: np.ndarray, step: int, cell: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the runs of foreground pixels that join one centre, labelled 1 + the index of the centre.

    ``step`` is a cell's side in input pixels, ``cell`` its side in pixels of the slice. A cell's centre is looked up
    when its first foreground pixel is met, so the background costs nothing.
    """
    row_runs, run_start, run_stop = _foreground_runs(bits, width)
    row_starts = np.zeros(len(row_runs), np.int64)
    most = 0  # pieces, if each cell of a run had a separate centre
    for run in range(len(run_start)):
        most += (run_stop[run] - 1) // cell - run_start[run] // cell + 1
    if len(centres) == 0:
        most = 0
    start, stop, label = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    if most == 0:
        return row_starts, start, stop, label
    rows, columns = (offsets.shape[1] - 1) // BUCKET + 1, (offsets.shape[2] - 1) // BUCKET + 1
    starts, order = _bucket_centres(centres, rows, columns)
    nearest = np.zeros(offsets.shape[1:], np.int32)
    count = 0
    for y in range(len(row_runs) - 1):
        row = y // cell
        for run in range(row_runs[y], row_runs[y + 1]):
            first = count
            for column in range(run_start[run] // cell, (run_stop[run] - 1) // cell + 1):
                if nearest[row, column] == 0:
                    vote_y = np.float64(row * step + offsets[0, row, column])
                    vote_x = np.float64(column * step + offsets[1, row, column])
                    nearest[row, column] = 1 + _nearest(vote_y, vote_x, centres, starts, order, rows, columns, step)
                end = min((column + 1) * cell, run_stop[run])
                if count > first and label[count - 1] == nearest[row, column]:
                    stop[count - 1] = end
                    continue
                start[count], stop[count] = max(column * cell, run_start[run]), end
                label[count] = nearest[row, column]
                count += 1
        row_starts[y + 1] = count
    return row_starts, start[:count].copy(), stop[:count].copy(), label[:count].copy()
