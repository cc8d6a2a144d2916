"""A model as one file: the ``.empanada`` archive that empanada-napari exports and imports.

The archive is a zip without folders. It holds ``NAME.yaml``, whose ``model:`` names the file of weights, and that file,
``NAME.pth``. empanada-napari reads the YAML with the archive's name. planewise reads the only YAML, so that an archive
can be renamed, and adds a model card, which other programs ignore.
"""

import hashlib
import zipfile
import zlib
from pathlib import Path

from planewise.errors import PlanewiseError, first_line
from planewise.progress import say
from planewise.volumes.atomic import atomic_path

ARCHIVE = ".empanada"


def unpacked_model(path: Path) -> Path:
    """Return the YAML of an archive, unpacked into a folder of the user's cache that is named after its content.

    Raises PlanewiseError if it is damaged, or is not one model.
    """
    import pooch

    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            yamls = [member for member in members if Path(member.filename).suffix.lower() in (".yaml", ".yml")]
            if len(yamls) != 1:
                raise PlanewiseError(f"{path}: holds {len(yamls)} YAML files; an archive of a model holds one")
            if inside := [member.filename for member in members if Path(member.filename).name != member.filename]:
                raise PlanewiseError(f"{path}: holds {inside[0]}; an archive of a model has no folders")
            if len({member.filename for member in members}) < len(members):
                raise PlanewiseError(f"{path}: holds two files of one name; an archive of a model holds each once")
            content = "".join(f"{member.filename} {member.file_size} {member.CRC}\n" for member in members)
            folder = Path(pooch.os_cache("planewise")) / hashlib.sha256(content.encode()).hexdigest()[:16]
            if not all(_is_unpacked(folder, member) for member in members):
                _unpack(archive, folder, path)
                say(f"{path}: is unpacked in {folder}")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise PlanewiseError(
            f"{path}: is not an archive of a model, or is damaged ({first_line(error)}); copy it again"
        ) from error
    except OSError as error:
        raise PlanewiseError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from error
    return folder / yamls[0].filename


def _unpack(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    try:
        with atomic_path(folder) as temporary:
            archive.extractall(temporary)
    except PlanewiseError as error:  # no home folder, or a cache that is full or read-only
        raise PlanewiseError(
            f"{path}: cannot be unpacked: {error}; or unzip it elsewhere, and give its YAML"
        ) from error


def _is_unpacked(folder: Path, member: zipfile.ZipInfo) -> bool:
    """Whether a member is in ``folder`` as it is in the archive."""
    path = folder / member.filename
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    checksum = 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            checksum = zlib.crc32(part, checksum)
    return checksum == member.CRC
