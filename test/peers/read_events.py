# SPDX-License-Identifier: Apache-2.0
"""What TensorBoard itself reads in a run's folder, held against metrics.jsonl.

    read_events.py RUN EVALUATION

RUN is a run that was stopped and resumed; EVALUATION a linear evaluation's folder.
"""
import json
import math
import pathlib
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator


def read(folder):
    events = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def check_picture(events, tag):
    (image,) = events.Images(tag)
    assert image.step == 0, image.step
    encoded = image.encoded_image_string
    if encoded.startswith(b"\x89PNG"):
        assert struct.unpack(">II", encoded[16:24]) == (image.width, image.height)
    else:
        assert encoded.startswith(b"\xff\xd8") and encoded.endswith(b"\xff\xd9"), encoded[:8]
    assert image.width > 0 and image.height > 0
    print(f"{tag}: a picture of {image.width} x {image.height}")


def main():
    run, evaluation = map(pathlib.Path, sys.argv[1:])
    events = read(run)
    expected = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        for key, value in row.items():
            if key in ("kind", "time", "step", "epoch") or not isinstance(value, (int, float)):
                continue
            expected.setdefault(f"{row['kind']}/{key}", []).append((row["step"], value))
    assert expected and set(events.Tags()["scalars"]) == set(expected), set(events.Tags()["scalars"]) ^ set(expected)
    for tag, values in expected.items():
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        assert len(found) == len(values), (tag, found, values)
        for (step, value), (other_step, other) in zip(values, found):
            # Events hold float32.
            assert step == other_step and math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-30), (tag, step, value, other)
    print(f"{len(expected)} curves, {sum(map(len, expected.values()))} values as metrics.jsonl has them")
    check_picture(events, "views")
    check_picture(read(evaluation), "map")


if __name__ == "__main__":
    main()
