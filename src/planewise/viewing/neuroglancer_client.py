"""neuroglancer's client, as its package brings it, with one fault mended where it is served.

The client writes its state into the URL whenever a layer changes, at once if it was busy for a while. A layer of
annotations cannot be written until its state is read, which is after all layers are made: on a busy machine the writing
failed in between, and took with it the layer that was being read. So such a layer begins with what its state says.
"""

from neuroglancer.static import ImportlibResourcesContentSource

FIELD = b"localAnnotationRelationships"
UNSET = FIELD + b";localAnnotationsJson="  # as the class declares it, of which there is one
SET = FIELD + b'=["segments"];localAnnotationsJson='


class Client(ImportlibResourcesContentSource):
    """Serves the client's files."""

    def get_content(self, name: str) -> bytes:
        """Return a file of the client. Raises ValueError if there is none of that name."""
        content: bytes = super().get_content(name)
        return content.replace(UNSET, SET) if name.endswith(".js") else content
