# SPDX-License-Identifier: Apache-2.0
"""Writes vit_golden.h: names, shapes and features of timm's ViT-tiny with patches of 4 pixels.

Weights and images come from a hash of their names, as in make_resnet_golden.py. Run with the Python of
scripts/setup.sh --peers: python make_vit_golden.py > vit_golden.h
"""

import numpy as np
import timm
import torch

from make_resnet_golden import fnv1a, rows, uniform


def fill(model):
    for name, tensor in model.state_dict().items():
        u = uniform(name, tensor.numel()).reshape(tensor.shape)
        if name.endswith("weight") and tensor.dim() > 1:
            values = u * np.sqrt(3 / tensor[0].numel())
        elif name.endswith("weight"):
            values = 1 + 0.5 * u
        else:
            values = 0.2 * u
        tensor.copy_(torch.from_numpy(np.asarray(values)).float())


@torch.no_grad()
def main():
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, num_classes=0,
                              dynamic_img_size=True).eval()
    state = model.state_dict()
    text = "".join(f"{k} [{', '.join(map(str, v.shape))}]\n" for k, v in sorted(state.items()))
    fill(model)
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Made by make_vit_golden.py with torch {torch.__version__.split('+')[0]},"
          f" timm {timm.__version__}.")
    print("#pragma once\n\n#include <cstdint>\n#include <string>\n#include <vector>\n")
    print("namespace clr::test {\n")
    print("/// Of \"name [shape]\\n\", sorted by name.")
    print(f"inline constexpr std::uint64_t kVitNamesHash = 0x{fnv1a(text.encode()):016x}ULL;")
    print(f"inline constexpr std::int64_t kVitParameters = "
          f"{sum(p.numel() for p in model.parameters())};\n")
    print("/// Every 16th feature of two images; of the class token, and of the patches' mean.")
    print("struct VitGolden {\n  std::int64_t side;\n  std::vector<float> token;")
    print("  std::vector<float> mean;\n};\n")
    print("inline const std::vector<VitGolden> kVitGolden{")
    for side in (32, 48, 16):
        image = torch.from_numpy(uniform("image", 2 * 3 * side * side).reshape(2, 3, side, side))
        tokens = model.forward_features(image.float())
        print(f"    {{{side},")
        for features, end in ((tokens[:, 0], ","), (tokens[:, 1:].mean(1), "},")):
            print("     {\n" + rows(features[:, ::16].flatten().tolist()) + "}" + end)
    print("};\n\n}  // namespace clr::test")


if __name__ == "__main__":
    main()
