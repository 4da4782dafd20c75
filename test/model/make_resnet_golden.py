# SPDX-License-Identifier: Apache-2.0
"""Writes resnet_golden.h: names, shapes and features of torchvision's ResNets.

Weights and images come from a hash of their names, which both sides compute, so that no weights need
to be stored. Run with torch and torchvision: python make_resnet_golden.py > resnet_golden.h
"""

import numpy as np
import torch
import torchvision


def fnv1a(data, value=0xCBF29CE484222325):
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def uniform(name, count):
    """Numbers in [-1, 1), a function of the name and the place."""
    seed = fnv1a(name.encode()) & 0xFFFFFFFF
    x = np.arange(count, dtype=np.uint64) + np.uint64(seed)
    x = (x * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    return x.astype(np.float64) / 2**31 - 1


def fill(model):
    for name, tensor in model.state_dict().items():
        u = uniform(name, tensor.numel()).reshape(tensor.shape)
        if tensor.dim() == 4:
            values = u * np.sqrt(3 / (tensor[0].numel()))
        elif name.endswith("weight"):
            values = 1 + 0.5 * u
        elif name.endswith("running_var"):
            values = 1 + 0.5 * u
        elif name.endswith("num_batches_tracked"):
            continue
        else:
            values = 0.2 * u
        tensor.copy_(torch.from_numpy(np.asarray(values)).float())


def rows(values):
    text = [f"{v:.9g}" for v in values]
    text = [t if any(c in t for c in ".e") else t + ".0" for t in text]
    lines, line = [], "    "
    for t in text:
        if len(line) + len(t) + 2 > 98:
            lines.append(line.rstrip())
            line = "    "
        line += t + "F, "
    return "\n".join(lines + [line.rstrip()])


@torch.no_grad()
def main():
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Made by make_resnet_golden.py with torch {torch.__version__.split('+')[0]},"
          f" torchvision {torchvision.__version__.split('+')[0]}.")
    print("#pragma once\n\n#include <cstdint>\n#include <string>\n#include <vector>\n")
    print("namespace clr::test {\n")
    print("struct ResnetGolden {")
    print("  std::string type;")
    print("  std::int64_t parameters;   ///< without fc")
    print("  std::int64_t tensors;")
    print("  std::uint64_t names_hash;  ///< of \"name [shape]\\n\" in the order of the state")
    print("  std::vector<float> evaluated;  ///< every 16th feature of two images, in evaluation mode")
    print("  std::vector<float> trained;    ///< the same in training mode")
    print("};\n")
    print("inline const std::vector<ResnetGolden> kResnetGolden{")
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
                 "wide_resnet50_2"):
        model = getattr(torchvision.models, name)(weights=None)
        model.fc = torch.nn.Identity()
        state = model.state_dict()
        text = "".join(f"{k} [{', '.join(map(str, v.shape))}]\n" for k, v in state.items())
        parameters = sum(p.numel() for p in model.parameters())
        print(f"    {{\"{name}\",\n     {parameters},\n     {len(state)},\n"
              f"     0x{fnv1a(text.encode()):016x}ULL,")
        for training in (False, True):
            if name in ("resnet34", "resnet101", "resnet152"):
                print("     {}" + ("}," if training else ","))
                continue
            fill(model)
            image = torch.from_numpy(uniform("image", 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)).float()
            features = model.train(training)(image)
            print("     {\n" + rows(features[:, ::16].flatten().tolist()) + "}" + ("}," if training else ","))
    print("};\n\n}  // namespace clr::test")


if __name__ == "__main__":
    main()
