# SPDX-License-Identifier: Apache-2.0
"""What the scripts that make golden augmentations share: parameters, and how cases are written.

Needs the standard library alone, so that the scripts run in the environment of each peer.
"""

import json


def box(top, left, height, width, out_height, out_width, interpolation="bilinear"):
    return {"top": top, "left": left, "height": height, "width": width, "out_height": out_height,
            "out_width": out_width, "interpolation": interpolation}


def jitter(order, brightness, contrast, saturation, hue):
    return {"order": order, "brightness": brightness, "contrast": contrast,
            "saturation": saturation, "hue": hue}


def steps_of(case):
    return case["params"]["steps"] if case["op"] == "chain" else [case]


def add_output(case, file, shape, parts):
    """Says that the case's result follows the `parts` of a flat file."""
    case["input"] = f"input_{case['input']}.npy"
    case["output"] = {"file": file, "offset": sum(p.size for p in parts), "shape": list(shape)}


def write_cases(folder, header, cases):
    """cases.json: the header, then a line a case."""
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    text = json.dumps({**header, "cases": None}, indent=2)
    (folder / "cases.json").write_text(text.replace("null", "[\n" + lines + "\n  ]") + "\n")
    print(f"{len(cases)} cases, {sum(f.stat().st_size for f in folder.iterdir())} bytes")
