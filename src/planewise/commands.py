"""All commands: the places of their options and functions, and their help."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command: the places of its options and its function, a summary in a line, and ``examples`` for its help."""

    options: str
    function: str
    what: str
    examples: tuple[str, ...] = ()


COMMANDS = {
    "mito train": Command(
        "planewise.apps.mito.train_options:MitoTrain",
        "planewise.apps.mito.train:train_mito",
        "fine-tune MitoNet on a nnU-Net dataset, and test it",
        (
            "planewise mito train Dataset001_Cells models --model_config MitoNet_v1 --model_name MitoNet_Cells",
            "planewise mito train Dataset001_Cells models --iterations 2000 --test_after_training --test_axes xy xz yz",
            "planewise mito train Dataset001_Cells models --iterations 4000 --resume",
        ),
    ),
    "mito predict": Command(
        "planewise.apps.mito.options:MitoPredict",
        "planewise.apps.mito.predict:predict_mito",
        "segment volumes in one or several planes, with consensus",
        (
            "planewise mito predict --trained_model models/MitoNet_Cells.yaml --input imagesTs --output predicted",
            "planewise mito predict --trained_model MitoNet_v1 --input cell.tif --output predicted --axes xy",
            "planewise mito predict --trained_model MitoNet_v1 --input large.zarr --output labels.ome.zarr --workers 4",
        ),
    ),
    "mito suggest": Command(
        "planewise.apps.mito.options:MitoSuggest",
        "planewise.apps.mito.suggest:suggest_mito",
        "choose the slices to paint next, where a model is least certain",
        (
            "planewise mito suggest Dataset001_Cells/imagesTr --model models/MitoNet_Cells.yaml --count 5",
            "planewise mito suggest cell.tif --model MitoNet_v1 --plane xz --output next",
        ),
    ),
    "mito evaluate": Command(
        "planewise.apps.mito.label_options:MitoEvaluate",
        "planewise.apps.mito.evaluate:evaluate_mito",
        "score predicted instances against the ground truth",
        (
            "planewise mito evaluate predicted Dataset001_Cells/instancesTs",
            "planewise mito evaluate cell.tiff truth.tiff --output scores",
        ),
    ),
    "mito measure": Command(
        "planewise.apps.mito.label_options:MitoMeasure",
        "planewise.apps.mito.measure:measure_mito",
        "measure the objects of label volumes, and compare conditions",
        (
            "planewise mito measure predicted --image imagesTs",
            "planewise mito measure predicted --reference nucleus=nuclei --groups animals.csv --output measures",
        ),
    ),
    "ild run": Command(
        "planewise.apps.ild.options:IldRun",
        "planewise.apps.ild.run:run_ild",
        "chest CT: prepare, fine-tune SAM2, predict and evaluate",
        ("planewise ild run Dataset002_Chest work --base sam2.1_hiera_tiny --epochs 100 --train_prompts mixed",),
    ),
    "ild prepare": Command(
        "planewise.apps.ild.options:IldPrepare",
        "planewise.apps.ild.prepare:prepare_ild",
        "window CT volumes and cut them into slices",
        ("planewise ild prepare Dataset002_Chest work --window lung",),
    ),
    "ild train": Command(
        "planewise.apps.ild.options:IldTrain",
        "planewise.apps.ild.train:train_ild",
        "fine-tune SAM2 on prepared slices",
        (
            "planewise ild train work --base sam2.1_hiera_tiny --epochs 100 --train_prompts mixed",
            "planewise ild train work --base medsam_model_best.pth --task_name Continued",
        ),
    ),
    "ild predict": Command(
        "planewise.apps.ild.options:IldPredict",
        "planewise.apps.ild.predict:predict_ild",
        "segment classes in 3D, from drawn boxes or without any",
        (
            "planewise ild predict ct.nii.gz predicted --trained_model medsam_model_best.pth --prompts auto",
            "planewise ild predict imagesTs predicted --base MedSAM2 --prompts boxes.csv",
        ),
    ),
    "ild evaluate": Command(
        "planewise.apps.ild.label_options:IldEvaluate",
        "planewise.apps.ild.evaluate:evaluate_ild",
        "score predicted classes against the ground truth",
        ("planewise ild evaluate predicted Dataset002_Chest/labelsTs --tolerance_mm 2",),
    ),
    "ild lungs": Command(
        "planewise.apps.ild.options:IldLungs",
        "planewise.apps.ild.lungs:lungs_ild",
        "segment the left and the right lung from the HU values",
        ("planewise ild lungs imagesTs lungs",),
    ),
    "ild measure": Command(
        "planewise.apps.ild.label_options:IldMeasure",
        "planewise.apps.ild.measure:measure_ild",
        "measure ml and % of the lungs by class and region, density, reader agreement",
        (
            "planewise ild measure predicted --images imagesTs --output measured",
            "planewise ild measure reader1 --against reader2 --images imagesTs --lungs lungs",
        ),
    ),
    "ild follow": Command(
        "planewise.apps.ild.options:IldFollow",
        "planewise.apps.ild.follow:follow_ild",
        "compare one patient's scans of several dates",
        ("planewise ild follow patient --trained_model medsam_model_best.pth --output followed",),
    ),
    "ild export": Command(
        "planewise.apps.ild.label_options:IldExport",
        "planewise.apps.ild.export:export_ild",
        "write labels and measures as DICOM that refers to the original series",
        (
            "planewise ild export predicted --images dicom --output exported",
            "planewise ild export predicted --images dicom --measures measured/measures.json",
        ),
    ),
    "check": Command(
        "planewise.apps.check_options:Check",
        "planewise.apps.check:check",
        "show what datasets and volumes contain, and any problems",
        ("planewise check Dataset001_Cells",),
    ),
    "models": Command(
        "planewise.apps.models_options:Models",
        "planewise.apps.models:list_models",
        "list the models that are known by name, or show one in full",
        ("planewise models", "planewise models sam2.1_hiera_small"),
    ),
    "models export": Command(
        "planewise.apps.models_options:ModelsExport",
        "planewise.apps.models:export_model",
        "write a model as a single file, for empanada-napari or bioimage.io",
        ("planewise models export models/MitoNet_Cells.yaml MitoNet_Cells.empanada",),
    ),
    "compare": Command(
        "planewise.apps.compare_options:Compare",
        "planewise.apps.compare:compare_methods",
        "score every method on every dataset, in one report",
        (
            "planewise compare Dataset001_Cells Dataset003_Tissue --output report",
            "planewise compare Dataset001_Cells --output report --method nnunet=predictions/nnunet --tolerance_nm 20",
        ),
    ),
    "view": Command(
        "planewise.apps.view_options:View",
        "planewise.apps.view:view",
        "show image, ground truth and every method's labels in napari, the browser or 3D Slicer",
        (
            "planewise view Dataset001_Cells --errors report",
            "planewise view labels.ome.zarr --at 40 300 512",
        ),
    ),
    "audit plan": Command(
        "planewise.apps.audit_options:AuditPlan",
        "planewise.apps.audit:plan_audit",
        "draw a random sample of a result to correct, for confidence intervals",
        ("planewise audit plan predicted --image imagesTs --output audit --budget 40",),
    ),
    "audit report": Command(
        "planewise.apps.audit_options:AuditReport",
        "planewise.apps.audit:report_audit",
        "turn the corrected sample into findings with 95 % intervals",
        ("planewise audit report audit",),
    ),
    "correct": Command(
        "planewise.apps.correct_options:Correct",
        "planewise.apps.correct:correct_result",
        "correct label volumes item by item, in napari or from a CSV; all can be undone",
        (
            "planewise correct predicted --worklist confidence",
            "planewise correct audit",
            "planewise correct predicted --actions actions.csv",
        ),
    ),
    "demo mito": Command(
        "planewise.apps.mito.train_options:MitoDemo",
        "planewise.apps.mito.demo:demo_mito",
        "train, predict and evaluate on a small synthetic EM dataset",
        ("planewise demo mito demo",),
    ),
    "demo ild": Command(
        "planewise.apps.ild.options:IldDemo",
        "planewise.apps.ild.run:demo_ild",
        "train, predict and evaluate on small synthetic chest CTs",
        ("planewise demo ild demo_ild --seed 1",),
    ),
}
