"""neuroglancer's client from its package, with one bug fixed when it is served.

The client writes its state into the URL whenever a layer changes, immediately if it was busy for a while. A layer of
annotations cannot be written before its state is read, which happens after all layers are made: on a busy machine the
writing failed in between, and the layer being read was lost. So such a layer now starts with an initial state.
"""

from neuroglancer.static import ImportlibResourcesContentSource

FIELD = b"localAnnotationRelationships"
UNSET = FIELD + b";localAnnotationsJson="  # the class's declaration, which occurs once
SET = FIELD + b'=["segments"];localAnnotationsJson='


class Client(ImportlibResourcesContentSource):
    """Serves the client's files."""

    def get_content(self, name: str) -> bytes:
        """Return a file of the client. Raises ValueError if no file has that name."""
        content: bytes = super().get_content(name)
        return content.replace(UNSET, SET) if name.endswith(".js") else content
