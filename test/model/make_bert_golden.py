# SPDX-License-Identifier: Apache-2.0
"""Writes bert_golden.h: names, shapes and features of Hugging Face's BertModel, small.

Weights come from a hash of their names, as in make_vit_golden.py. Wants transformers 5.24 beside the Python
of scripts/setup.sh --peers: python make_bert_golden.py > bert_golden.h
"""

import torch
import transformers
from transformers import BertConfig, BertModel

from make_resnet_golden import fnv1a, rows
from make_vit_golden import fill

# Ids below 50, three rows.
ROWS = [[2, 17, 23, 8, 41, 3], [2, 11, 3], [2, 5, 49, 5, 5, 30, 12, 44, 9, 3]]


@torch.no_grad()
def main():
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=16)
    model = BertModel(config, add_pooling_layer=False).eval()
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("_ids")}
    text = "".join(f"{k} [{', '.join(map(str, v.shape))}]\n" for k, v in sorted(state.items()))
    fill(model)
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Made by make_bert_golden.py with torch {torch.__version__.split('+')[0]},"
          f" transformers {transformers.__version__}.")
    print("#pragma once\n\n#include <cstdint>\n#include <string>\n#include <vector>\n")
    print("namespace clr::test {\n")
    print("/// Of \"name [shape]\\n\", sorted by name.")
    print(f"inline constexpr std::uint64_t kBertNamesHash = 0x{fnv1a(text.encode()):016x}ULL;\n")
    print("inline const std::vector<std::vector<std::int32_t>> kBertRows{")
    for row in ROWS:
        print("    {" + ", ".join(map(str, row)) + "},")
    print("};\n")
    print("/// Every 4th feature of the rows, by pooling.")
    print("struct BertGolden {\n  std::string pooling;\n  std::vector<float> features;\n};\n")
    print("inline const std::vector<BertGolden> kBertGolden{")
    width = max(map(len, ROWS))
    ids = torch.zeros(len(ROWS), width, dtype=torch.long)
    mask = torch.zeros(len(ROWS), width)
    for k, row in enumerate(ROWS):
        ids[k, :len(row)] = torch.tensor(row)
        mask[k, :len(row)] = 1
    states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    last = states[-1]

    def mean(x):
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    poolings = {"cls": last[:, 0], "mean": mean(last), "mean_last2": mean((last + states[-2]) / 2),
                "mean_first_last": mean((last + states[1]) / 2),
                "max": last.masked_fill(mask[..., None] == 0, -1e9).amax(1)}
    for name, features in poolings.items():
        print(f'    {{"{name}",')
        print("     {\n" + rows(features[:, ::4].flatten().tolist()) + "}},")
    print("};\n\n}  // namespace clr::test")


main()
