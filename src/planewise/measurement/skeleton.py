"""The centre line of an object: its length, branches, ends and loops, and the object's radius along it.

The mask is smoothed by ``SIDES`` voxel sides (see ``smoothing``), its cavities are filled, and the body is thinned to
lines with the same topology (see ``thinning``), which skan turns into a graph (Nunez-Iglesias et al. 2018,
doi:10.7717/peerj.4312). Steps from voxel to voxel overestimate the length of oblique lines by up to 10 %, so each path
is smoothed by a mean over ``WINDOW`` voxels on either side. A branch is a spur, and is removed, if its end lies near
the rest of the line: within 1.5 times the object's radius at a point of it. Two junctions within one radius are merged.
Loops are counted by the Euler number, which needs no graph.

The line of a tube ends about a radius before the tube does; that of a ball is a point.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from planewise.measurement.smoothing import smooth_body
from planewise.measurement.thinning import thinned
from planewise.volumes.parts import connected_parts
from planewise.volumes.volume import Spacing

SIDES = 1.5  # standard deviation of the smoothing in voxel sides: the roughness of outlines drawn slice by slice
WINDOW = 3
SPUR = 1.5  # times the object's radius, within which a branch that ends is a spur
GONE, NODE = -1, -2  # marks of the line's voxels that lie on no branch


@dataclass(frozen=True)
class CentreLine:
    """``length`` and mean ``radius`` along the line, in the unit of the spacing; ``pieces``: 26-connected."""

    length: float
    branches: int
    end_points: int
    loops: int
    radius: float
    pieces: int


@dataclass
class _Branch:
    """A path between two nodes: the ``voxels`` of the line that lie on it, nodes included; ``length`` in the unit."""

    start: int
    end: int
    length: float
    voxels: np.ndarray


def centre_line(mask: np.ndarray, spacing: Spacing) -> CentreLine:
    """Return the centre line of ``mask`` (z, y, x) bool with at least one voxel; ``spacing`` (z, y, x)."""
    from skimage.measure import euler_number

    smooth, level = smooth_body(mask, spacing, SIDES)
    body = smooth > level
    if not body.any():  # as may happen with masks of a few voxels
        body = smooth == smooth.max()
    body = np.pad(body[ndimage.find_objects(body.view(np.uint8))[0]], 1)
    outside = connected_parts(~body, 6)
    filled = outside != outside[0, 0, 0]
    pieces = int(connected_parts(mask, 26).max())
    loops = int(connected_parts(filled, 26).max()) - int(euler_number(filled, connectivity=3))
    depth = ndimage.distance_transform_edt(filled, sampling=spacing)
    line = thinned(filled, depth)
    if np.count_nonzero(line) < 2:
        return CentreLine(0.0, 0, 0, loops, float(depth[line].mean()), pieces)
    graph = _Graph.of(line, depth, spacing)
    graph.prune()
    graph.join_junctions()
    return CentreLine(graph.length, len(graph.branches), graph.end_points, loops, graph.mean_radius, pieces)


def _smooth_length(path: np.ndarray) -> float:
    """Return the length of a path of points (n, 3), each averaged with its neighbours; the ends of an open one stay."""
    count = len(path)
    if count > 2 and bool((path[0] == path[-1]).all()):
        reach = min(WINDOW, (count - 2) // 2)
        round_ = path[np.arange(-reach, count - 1 + reach) % (count - 1)]
        sums = np.concatenate([np.zeros((1, 3)), np.cumsum(round_, axis=0)])
        smooth = (sums[2 * reach + 1 :] - sums[: -2 * reach - 1]) / (2 * reach + 1)
        smooth = np.concatenate([smooth, smooth[:1]])
    else:
        sums, at = np.concatenate([np.zeros((1, 3)), np.cumsum(path, axis=0)]), np.arange(count)
        reaches = np.minimum(np.minimum(at, count - 1 - at), WINDOW)
        smooth = (sums[at + reaches + 1] - sums[at - reaches]) / (2 * reaches + 1)[:, None]
    return float(np.linalg.norm(np.diff(smooth, axis=0), axis=1).sum())


class _Graph:
    """Branches between nodes, from which spurs can be removed.

    ``places`` (n, 3) and ``radii`` (n,) of the voxels of the line, in the unit of the spacing; nodes are such voxels.
    """

    def __init__(self, branches: list[_Branch], places: np.ndarray, radii: np.ndarray) -> None:
        self.branches = dict(enumerate(branches))
        self._next = len(branches)
        self._places, self._radii, self._tree = places, radii, cKDTree(places)
        self._branch_of = np.full(len(radii), GONE)
        self._at: dict[int, list[int]] = {}  # the branches of each node; one that returns to it is listed twice
        for i, branch in self.branches.items():
            self._branch_of[branch.voxels] = i
            for node in (branch.start, branch.end):
                self._at.setdefault(node, []).append(i)
        self._branch_of[list(self._at)] = NODE
        self._joined = 0.0  # length within merged junctions

    @classmethod
    def of(cls, line: np.ndarray, depth: np.ndarray, spacing: Spacing) -> "_Graph":
        """Return the graph of ``line``, whose voxels (z, y, x) lie ``depth`` below the surface."""
        from skan import Skeleton

        skeleton = Skeleton(line)
        places = skeleton.coordinates * np.array(spacing)
        paths = [np.asarray(skeleton.path(i)) for i in range(skeleton.n_paths)]
        branches = [_Branch(int(path[0]), int(path[-1]), _smooth_length(places[path]), path) for path in paths]
        return cls(branches, places, depth[tuple(skeleton.coordinates.astype(int).T)])

    @property
    def length(self) -> float:
        """The length of all branches."""
        return self._joined + sum(branch.length for branch in self.branches.values())

    @property
    def end_points(self) -> int:
        """The number of nodes at which one branch ends."""
        return sum(len(at) == 1 for at in self._at.values())

    @property
    def mean_radius(self) -> float:
        """The mean radius over the voxels of all branches."""
        return float(self._radii[self._branch_of != GONE].mean())

    def prune(self) -> None:
        """Remove spurs, the shortest first: each removal may join two branches into one, which may be a spur itself."""
        waiting = [(branch.length, i) for i, branch in self.branches.items()]
        heapq.heapify(waiting)
        while waiting:
            _, i = heapq.heappop(waiting)
            junction = self._junction_of_spur(i)
            if junction is None:
                continue
            self._branch_of[self.branches[i].voxels] = GONE
            self._branch_of[junction] = NODE
            self._remove(i)
            if len(self._at[junction]) == 2 and (merged := self._merge(junction)) is not None:
                heapq.heappush(waiting, (self.branches[merged].length, merged))

    def join_junctions(self) -> None:
        """Merge junctions that lie within the radius of either; each loop between them stays one loop."""
        for i in sorted(self.branches, key=lambda i: self.branches[i].length):
            branch = self.branches[i]
            start, end = branch.start, branch.end
            inner = start != end and len(self._at[start]) > 2 and len(self._at[end]) > 2
            if inner and branch.length < max(self._radii[start], self._radii[end]):
                self._remove(i)
                self._joined += branch.length
                for other in self._at.pop(end):
                    moved = self.branches[other]
                    moved.start, moved.end = (start if node == end else node for node in (moved.start, moved.end))
                    self._at[start].append(other)

    def _junction_of_spur(self, i: int) -> int | None:
        """Return the node that branch ``i`` starts from if it is a spur; None if it is none, or was removed."""
        branch = self.branches.get(i)
        if branch is None:
            return None
        for node, tip in ((branch.start, branch.end), (branch.end, branch.start)):
            if len(self._at[tip]) == 1 and len(self._at[node]) > 2:
                near = np.array(self._tree.query_ball_point(self._places[tip], SPUR * self._radii.max()), int)
                near = near[(self._branch_of[near] != GONE) & (self._branch_of[near] != i) & (near != tip)]
                distances = np.linalg.norm(self._places[near] - self._places[tip], axis=1)
                return node if (distances < SPUR * self._radii[near]).any() else None
        return None

    def _remove(self, i: int) -> None:
        branch = self.branches.pop(i)
        for node in (branch.start, branch.end):
            self._at[node].remove(i)

    def _merge(self, node: int) -> int | None:
        """Merge the two branches that meet at ``node``; None if they are one branch that returns to it."""
        first, second = self._at[node]
        if first == second:
            return None
        one, other = self.branches[first], self.branches[second]
        start, end = (branch.end if branch.start == node else branch.start for branch in (one, other))
        self._remove(first)
        self._remove(second)
        i, self._next = self._next, self._next + 1
        voxels = np.union1d(one.voxels, other.voxels)
        self.branches[i] = _Branch(start, end, one.length + other.length, voxels)
        self._branch_of[voxels] = i
        self._branch_of[[start, end]] = NODE
        self._at[start].append(i)
        self._at[end].append(i)
        return i
