"""Published models by name: the sources of their weights, how these are checked, their licences and citations.

A sha256 is listed here if independent sources agree on it. Zenodo states none for MitoNet's weights; each download of
these is compared with the user's first one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from planewise.data.preparation import sha256_of
from planewise.errors import PlanewiseError
from planewise.models.downloads import fetch, state_of
from planewise.models.meant import did_you_mean
from planewise.models.model_file import SHIPPED, read_model_file
from planewise.progress import say

META = "https://dl.fbaipublicfiles.com/segment_anything_2"
MEDSAM2 = "https://huggingface.co/wanglab/MedSAM2/resolve/e4a6f35edd7e091619cbc0750f462f1574e23955"
WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")  # endings of files of weights, which no model's name has

Kind = Literal["MitoNet", "SAM2"]


@dataclass(frozen=True)
class Published:
    """A published model. ``norms``: mean and standard deviation of its training images, of intensities in 0..1."""

    name: str
    kind: Kind
    url: str
    sha256: str | None
    megabytes: int
    licence: str
    citation: str
    norms: str = "ImageNet's"
    also: tuple[str, ...] = ()  # its other names
    spdx: str | None = None  # the licence's identifier, where it has one
    hub_id: str | None = None  # its name on the hub

    @property
    def file(self) -> str:
        """Name of the file of its weights."""
        return Path(urlparse(self.url).path).name

    @property
    def terms(self) -> str:
        """Licence and citation, in one line."""
        return f"{self.name}: its licence is {self.licence}; cite {self.citation}"

    def is_called(self, name: str) -> bool:
        """Whether ``name`` means this model: its name, its file's with or without the ending, or another name."""
        return name in (self.name, self.file, self.file.removesuffix(".pt"), *self.also)

    def state(self) -> str:
        """Whether its weights are in the cache, and are the expected ones."""
        return state_of(self.url, self.sha256)


def _mitonet(name: str, megabytes: int) -> Published:
    """Return a MitoNet; its shipped config states where its weights are."""
    config = read_model_file(SHIPPED / f"{name}.yaml")
    return Published(
        name,
        "MitoNet",
        str(config.model),
        config.model_sha256,
        megabytes,
        "that of zenodo.org/records/6861565",
        "Conrad and Narayan 2023, doi:10.1016/j.cels.2022.12.006",
        f"{config.norms.mean:g}, {config.norms.std:g}",
    )


def _sam2(name: str, folder: str, sha256: str, megabytes: int) -> Published:
    url, citation = f"{META}/{folder}/{name}.pt", "Ravi et al. 2024, arXiv:2408.00714"
    hub_id = f"facebook/{name.replace('_', '-')}"
    return Published(name, "SAM2", url, sha256, megabytes, "Apache-2.0", citation, spdx="Apache-2.0", hub_id=hub_id)


PUBLISHED = (
    _mitonet("MitoNet_v1", 221),
    _mitonet("MitoNet_v1_mini", 112),
    _sam2("sam2_hiera_tiny", "072824", "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125", 156),
    _sam2("sam2_hiera_small", "072824", "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3", 184),
    _sam2("sam2_hiera_base_plus", "072824", "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071", 323),
    _sam2("sam2_hiera_large", "072824", "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b", 898),
    _sam2("sam2.1_hiera_tiny", "092824", "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69", 156),
    _sam2("sam2.1_hiera_small", "092824", "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38", 184),
    _sam2("sam2.1_hiera_base_plus", "092824", "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5", 324),
    _sam2("sam2.1_hiera_large", "092824", "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318", 898),
    Published(
        "MedSAM2", "SAM2", f"{MEDSAM2}/MedSAM2_latest.pt",
        "c92743b99f00d078bf32a3afcc38aaa9faf1c1692dffe3eaa7a90938c1991060", 156,
        "CC BY-SA 4.0; the model card allows research and education only", "Ma et al. 2025, arXiv:2504.03600",
        also=("wanglab/MedSAM2",), spdx="CC-BY-SA-4.0", hub_id="wanglab/MedSAM2",
    ),
)  # fmt: skip


def of_url(url: str) -> Published | None:
    """Return the model whose weights are at ``url``."""
    return next((model for model in PUBLISHED if model.url == url), None)


def of_name(name: str, kind: Kind) -> Published | None:
    """Return the model of this kind that ``name`` means."""
    return next((model for model in PUBLISHED if model.kind == kind and model.is_called(name)), None)


def of_hub_id(name: str) -> Published | None:
    """Return the model that is called ``name`` on the hub."""
    return next((model for model in PUBLISHED if model.hub_id == name), None)


def of_file(path: Path) -> Published | None:
    """Return the model whose weights the file at ``path`` holds, by its sha256, if that is known."""
    digest = sha256_of(path) if path.is_file() else ""
    return next((model for model in PUBLISHED if model.sha256 == digest), None)


def located(source: Path, kinds: tuple[Kind, ...] = ("SAM2",)) -> Path:
    """Return the path of the SAM2 weights that ``source`` means: a file or folder, a hub id, or a name of a
    published model, which is downloaded.

    ``kinds``: the kinds of models whose names the error lists. Raises PlanewiseError if it is none of these; for a
    failed download see ``fetch``.
    """
    if source.exists():
        return source
    if model := of_name(str(source), "SAM2"):
        path = fetch(model.url, model.sha256, f"planewise models {model.name}", "give the path of other weights")
        say(f"{source}: {path}, its sha256 is the published {model.sha256}. {model.terms}")
        return path
    if is_hub_id(source):
        return source
    if of_name(str(source), "MitoNet"):
        raise PlanewiseError(f"{source}: is a MitoNet, but a SAM2 is needed; see planewise mito")
    namesake = of_name(source.name, "SAM2")
    known = [model.name for model in PUBLISHED if model.kind in kinds]
    allowed = f"the path of weights, a hub id, or one of the names {', '.join(known)}"
    meant = did_you_mean(source, known, WEIGHTS, allowed)
    if namesake:
        meant = f"the published one is {namesake.name}, which is downloaded; give {allowed}"
    raise PlanewiseError(f"{source}: no such file; {meant}")


def is_hub_id(source: Path) -> bool:
    """Whether ``source`` names a model on the hub, such as facebook/sam2.1-hiera-tiny, and is not a file."""
    named = len(source.parts) == 2 and not source.is_absolute() and source.suffix.lower() not in WEIGHTS
    return named and not source.exists() and source.parts[0] not in (".", "..", "~")
