#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NT-Xent of one network, without training, on views that torchvision draws: whether clr's views are
as hard. Prints the mean over the batches of --epochs epochs and its standard error.

Weights are a model.safetensors of clr's simclr_cifar10_tiny. clr's side of it is a training of them
that moves nothing:

    clr pretrain --config simclr_cifar10_tiny --data LIST --init model.safetensors --set \\
      optimizer.learning_rate=1e-30 --set train.precision=float32 --set train.log_every_steps=1

Also evaluates the weights as they are (--evaluate): kNN and linear accuracy on DATA/test.
"""

import argparse
import json
import math
import os

import torch
from safetensors.torch import load_file

import simclr_data
import simclr_evaluate
import simclr_model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with train/CLASS/*, test/CLASS/*")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--per-class", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compute-threads", type=int, default=2)
    parser.add_argument("--evaluate", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.compute_threads)
    torch.manual_seed(args.seed)
    recipe = simclr_model.RECIPE
    model = simclr_model.SimCLR(recipe["width"], recipe["hidden"], recipe["output"])
    model.load_state_dict(load_file(args.weights))
    paths, labels = simclr_data.list_images(os.path.join(args.data, "train"), args.per_class)
    result = {"weights": args.weights, "seed": args.seed}
    if args.evaluate:
        test_paths, test_labels = simclr_data.list_images(os.path.join(args.data, "test"))
        h_train = simclr_evaluate.features(model.encoder, simclr_data.load_all(paths))
        h_test = simclr_evaluate.features(model.encoder, simclr_data.load_all(test_paths))
        result["knn"] = simclr_evaluate.knn_top1(h_train, labels, h_test, test_labels)
        result["linear"] = simclr_evaluate.linear_top1(h_train, labels, h_test, test_labels)
    if args.epochs:
        model.to(memory_format=torch.channels_last).train()
        losses = []
        loader = simclr_data.train_loader(paths, recipe["batch_size"], 1, args.seed)
        with torch.no_grad():
            for _ in range(args.epochs):
                for views in loader:
                    z = model(torch.cat(views).contiguous(memory_format=torch.channels_last))
                    losses.append(float(simclr_model.nt_xent(z, recipe["temperature"])))
        mean = sum(losses) / len(losses)
        variance = sum((x - mean) ** 2 for x in losses) / (len(losses) - 1)
        result.update(loss=mean, standard_error=math.sqrt(variance / len(losses)),
                      batches=len(losses))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
