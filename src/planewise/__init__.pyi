"""Table of contents of the Python interface."""

from .apps.ild.lungs import find_lungs as find_lungs
from .correction.session import Corrections as Corrections
from .data.nnunet import open_dataset as open_dataset
from .errors import PlanewiseError as PlanewiseError
from .evaluation.evaluate import score_labels as score_labels
from .evaluation.overlap import overlap_table as overlap_table
from .inference.consensus import consensus as consensus
from .interface.finetuning import finetune as finetune
from .interface.measuring import ClassMeasures as ClassMeasures
from .interface.measuring import Measures as Measures
from .interface.measuring import measure as measure
from .interface.measuring import measure_classes as measure_classes
from .interface.model import Model as Model
from .interface.model import load_model as load_model
from .interface.result import Result as Result
from .interface.scoring import compare as compare
from .interface.scoring import score as score
from .interface.segmenting import segment as segment
from .interface.volumes import open as open
from .measurement.measuring import measure_volume as measure_volume
from .models.weights import export_torchscript as export_torchscript
from .models.weights import load_network as load_network
from .progress import Progress as Progress
from .volumes.files import open_volume as open_volume
from .volumes.files import write_volume as write_volume
from .volumes.labels import read_labels as read_labels
from .volumes.labels import write_labels as write_labels
from .volumes.volume import Volume as Volume

__version__: str
