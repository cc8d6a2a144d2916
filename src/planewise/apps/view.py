"""view: show an image, its truth and each method's labels in napari, in the browser, or as a scene for 3D Slicer."""

import importlib.util
import os
import socket
import webbrowser
from pathlib import Path

from planewise.apps.view_cases import TRUTH, Shown, compared_in, named_results, shown_of
from planewise.apps.view_options import View
from planewise.data.case import channel_within
from planewise.data.classes import holds_instances, labels_above
from planewise.errors import PlanewiseError, WorkFailed
from planewise.processes import Terminated
from planewise.progress import counted, say
from planewise.report.comparison_files import JSON as RESULTS
from planewise.report.tables import print_table
from planewise.viewing.mistakes import read_places
from planewise.viewing.scene import Layer, Place, Scene, image_layer, labels_layer, middle, place_of
from planewise.viewing.screen import has_screen, needs_no_screen
from planewise.volumes import itk_snap
from planewise.volumes.formats.dicom import Series
from planewise.volumes.label_names import LabelNames
from planewise.volumes.volume import Volume

LISTED = 20  # mistakes that are listed on the terminal


def view(options: View) -> int:
    """Open a viewer, and wait until it is closed; or write a scene. Returns the exit code.

    Raises PlanewiseError if the files cannot be read or are not one case, or if no viewer is installed.
    """
    viewer = None if options.slicer is not None else chosen_viewer(options.viewer)
    scene = scene_of(shown_of(options), options)
    for layer in scene.layers:
        say(f"{layer.name}: {layer.path}")
    if options.slicer is not None:
        from planewise.viewing.slicer import write_scene

        say(f"The scene for 3D Slicer is {write_scene(scene, options.slicer)}")
    elif viewer == "napari":
        from planewise.viewing.napari_window import show

        _print_places(scene)
        show(scene)
    else:
        _serve(scene, options.port)
    return 0


# ---- what is shown


def scene_of(shown: Shown, options: View) -> Scene:
    """Return a scene of a case's files, with all methods' labels; the named ones, or else the first, are visible."""
    layers: list[Layer] = []
    image: tuple[Path | Series, Volume] | None = None
    if shown.image is not None:
        layer, stored = image_layer(shown.case, shown.image, channel_within(shown.image, options.channel))
        layers.append(layer)
        image = shown.image, stored
    labels = ({TRUTH: shown.truth} if shown.truth is not None else {}) | shown.methods
    first = shown.named or next(iter(shown.methods), TRUTH)
    names = _class_names(shown)
    for name, path in labels.items():
        described = itk_snap.read_label_description(path.parent / itk_snap.FILE)
        known = described if described.names else names
        layer, stored = labels_layer(name, path, known, image, options.ignore_geometry, name == first)
        layers.append(layer)
        image = image or (path, stored)
    if options.object is not None and not labels:
        raise PlanewiseError(f"--object {options.object}: there are no labels; give some with --labels")
    chosen = {} if options.object is None else {first: options.object}
    places = [] if options.errors is None else _mistakes(shown, options)
    at = options.at or _default_place(layers, places, chosen)
    if not all(0 <= place < side for place, side in zip(at, layers[0].volume.shape)):
        raise PlanewiseError(
            f"--at {' '.join(map(str, at))}: lies outside; the shape z y x is {layers[0].volume.shape}"
        )
    return Scene(f"{shown.case} - planewise", layers, places, at, chosen)


def _default_place(layers: list[Layer], places: list[Place], chosen: dict[str, int]) -> tuple[int, int, int]:
    for layer in layers:
        if layer.name in chosen:
            return place_of(layer, chosen[layer.name])
    return places[0].at if places else middle(layers[0])


def _class_names(shown: Shown) -> LabelNames:
    """Return the dataset's class names; none if its truth holds instances."""
    if shown.truth is not None and not holds_instances(shown.truth):
        return LabelNames(labels_above(shown.truth).classes)
    return LabelNames()


def _mistakes(shown: Shown, options: View) -> list[Place]:
    """Return the mistakes of the shown methods, largest first."""
    files = named_results(options) or _results_beside(shown)
    if not files:
        raise PlanewiseError(
            f"--errors: there is no {RESULTS} beside the results of case {shown.case}; give the one that planewise "
            "compare wrote: --errors PATH"
        )
    dataset = "" if shown.dataset is None else shown.dataset.resolve().name
    places: list[Place] = []
    for file in files:
        places += read_places(file, dataset, shown.case, list(shown.methods))
        say(f"Mistakes are those in {file}")
    if not places:
        say("They list no mistakes of this case")
    return sorted(places, key=lambda place: -place.voxels)


def _results_beside(shown: Shown) -> list[Path]:
    """Return the results.json of each method's evaluation or, if a method has none, of a comparison in the dataset's
    folder; without either, a message names the method."""
    evaluations = {name: path.parent / "evaluation" / RESULTS for name, path in shown.methods.items()}
    evaluated = [path for path in evaluations.values() if path.is_file()]
    if evaluations and len(evaluated) == len(evaluations):
        return evaluated
    if shown.dataset is not None and (compared := compared_in(shown.dataset)):
        return compared
    for name in [name for name, path in evaluations.items() if evaluated and not path.is_file()]:
        say(f"{name}: was not evaluated, so its mistakes are not listed; planewise compare lists those of all methods")
    return evaluated


# ---- viewers


def chosen_viewer(wanted: str) -> str:
    """Return the viewer to use. Raises PlanewiseError if it is not installed, or none is."""
    installed = [name for name in ("napari", "neuroglancer") if importlib.util.find_spec(name) is not None]
    if wanted != "auto" and wanted not in installed:
        raise PlanewiseError(f"--viewer {wanted}: is not installed; pip install planewise[{wanted}]")
    if wanted == "napari" and not has_screen() and not needs_no_screen():
        raise PlanewiseError("--viewer napari: there is no screen here; --viewer neuroglancer is for the browser")
    if wanted != "auto":
        return wanted
    usable = [name for name in installed if name != "napari" or has_screen()]
    if not usable:
        why = "there is no screen for napari" if installed else "no viewer is installed"
        raise PlanewiseError(
            f"{why}: pip install planewise[neuroglancer] (in the browser, here or elsewhere) or planewise[napari] (in "
            "a window); or have --slicer FOLDER write a scene for 3D Slicer"
        )
    return usable[0]


def _serve(scene: Scene, port: int) -> None:
    from planewise.viewing.neuroglancer_server import served, wait

    try:
        with served(scene, port) as there:
            _print_places(scene, there.places)
            say(f"neuroglancer shows it at\n{there.url}")
            if has_screen():
                webbrowser.open(there.url)
            else:
                user, host = os.environ.get("USER", "USER"), socket.gethostname()
                say(f"To see it from another machine: ssh -L {there.port}:127.0.0.1:{there.port} {user}@{host}")
            say("Ctrl-C ends it.")
            wait()
    except (KeyboardInterrupt, Terminated):
        say("neuroglancer has ended.")
    except OSError as error:
        raise WorkFailed(f"--port {port}: cannot be served at ({error.strerror})") from error


def _print_places(scene: Scene, links: list[str] | None = None) -> None:
    shown = scene.places[:LISTED]
    header = ("what", "z y x", *(["link"] if links else []))
    rows = [(place.what, " ".join(map(str, place.at)), *(links or [])[i : i + 1]) for i, place in enumerate(shown)]
    all_of_them = counted(len(scene.places), "mistake")
    if shown:
        first = f"{len(shown)} of " if len(shown) < len(scene.places) else ""
        print_table(f"{first}{all_of_them}, largest first", header, rows)
