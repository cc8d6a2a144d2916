"""Volumes in the viewers of others: napari, neuroglancer, 3D Slicer."""
