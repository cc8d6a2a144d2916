"""Shows volumes in external viewers: napari, neuroglancer, 3D Slicer."""
