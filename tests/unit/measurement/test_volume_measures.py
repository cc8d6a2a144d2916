import json

from planewise.measurement.measuring import measure_volume
from planewise.measurement.volume_measures import Measured
from planewise.volumes.volume import Volume


def test_what_is_stored_comes_back(balls):
    balls[10:14, 10:14, 21:24] = 6  # which touches another
    measured = measure_volume(Volume(balls, (10.0, 5.0, 5.0), "nm"))
    stored = json.dumps(measured.as_json(), allow_nan=False)
    again = Measured.from_json(json.loads(stored))
    assert json.dumps(again.as_json(), allow_nan=False) == stored
    assert again.distributions == measured.distributions
