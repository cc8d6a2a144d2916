"""Segments a volume that does not fit in memory: slabs of each plane, then blocks of the volume, with stores on disk.

::

    for each plane:  read a slab -> network -> foreground bits, centres, offsets
                     -> median across slices -> objects of each slice ("components"), written as chunks
                     -> their sizes and overlaps, all that linking reads: from them a label for every component
    for each block:  components -> the planes' labels, written; how they combine, counted
    for each block:  labels -> the final labels, written

All steps are functions of files in the work folder, so any process can do them, in any order that the arrows allow, and
finished steps of a stopped run are not repeated. The result equals that of ``gathering`` and ``consensus`` voxel for
voxel, since both are computed from the same tables.
"""
