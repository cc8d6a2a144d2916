"""Four classes carried through a volume: every slice encoded once, against the published order, once for each class.

The same weights (random: the cost does not depend on them) and the same slices, alternating in one run.

    python benchmarks/bench_propagation.py [image size] [slices]
"""

import platform
import resource
import statistics
import sys
import time

import numpy as np
import torch

from planewise.inference.prompts import Prompt
from planewise.inference.propagation import PropagationOptions, propagate
from planewise.models.sam2 import BoxSegmenter, build_sam2

REPEATS = 3
# Random weights find no objects: let every track go on to the end, so that both orders do the same work.
OPTIONS = PropagationOptions(least_score=-1e9, least_inside=0.0, least_pixels=1, split=False)


def main(image_size: int, count: int) -> None:
    """Print ours, theirs and the ratio, in fp32 and in bf16."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    segmenter = BoxSegmenter(build_sam2("tiny", image_size)).eval()
    images = np.random.default_rng(0).integers(0, 255, (count, 256, 256), np.uint8)
    middle = count // 2
    boxes = [(20, 20, 90, 90), (120, 20, 200, 90), (20, 120, 90, 200), (120, 120, 230, 230)]
    prompts = [Prompt(i + 1, middle, box) for i, box in enumerate(boxes)]

    def run(wanted: list[Prompt], half: bool) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return propagate(segmenter, images, np.ones(count - 1, bool), wanted, OPTIONS, lambda steps: None)

    seconds: dict[str, list[float]] = {"ours": [], "ours, bf16": [], "published order": []}
    for _ in range(REPEATS):
        for name, work in (
            ("ours", lambda: run(prompts, False)),
            ("published order", lambda: [run([prompt], False) for prompt in prompts]),
            ("ours, bf16", lambda: run(prompts, True)),
        ):
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    with torch.inference_mode():
        embeddings = segmenter.encode(torch.from_numpy(images[:1].astype(np.float32) / 255))
        four = torch.tensor([boxes]) / 256
        together = segmenter.decode(embeddings, four)[0]
        alone = torch.cat([segmenter.decode(embeddings, four[:, i : i + 1])[0] for i in range(4)], dim=1)
    differing = int(((together > 0) != (alone > 0)).sum())
    print(f"4 classes, {count} slices at {image_size}, one thread, {platform.machine()}")
    for name, value in median.items():
        print(f"  {name:<16}{value:8.1f} CPU s   {median['published order'] / value:5.2f} times")
    print(f"  mask pixels that differ between four boxes in one call and one by one: {differing}")
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main(*([int(word) for word in sys.argv[1:3]] or [512, 8]))
