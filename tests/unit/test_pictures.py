"""The recording of a terminal that docs/pictures.py draws."""

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

PATH = Path(__file__).parents[2] / "docs" / "pictures.py"


def test_a_recording_shows_each_line_at_its_share_of_the_time_and_scrolls():
    spec = importlib.util.spec_from_file_location("pictures", PATH)
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    last = pictures.ROWS + 1  # two lines more than fit
    svg = pictures.recording([(float(place), f"line {place} <&>") for place in range(last + 1)])
    shown = [element for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]
    assert [element.text for element in shown] == [f"line {place} <&>" for place in range(last + 1)]
    whole = pictures.SECONDS + 3
    appear = [float(moment) for moment in re.findall(r"line\d+ \{ 0% \{ opacity: 0 \} ([\d.]+)%", svg)]
    assert (appear[0], appear[-1]) == (0, pytest.approx(100 * pictures.SECONDS / whole, abs=0.01))
    assert re.findall(r"translateY\(-(\d+)px\)", svg) == [str(pictures.LINE), str(2 * pictures.LINE)]
