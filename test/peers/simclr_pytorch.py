#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SimCLR on a small CIFAR-10 in plain PyTorch: the other side of clr's simclr_cifar10_tiny.

Trains on the first --per-class files of each class of DATA/train, judges the frozen encoder on
DATA/test and prints one JSON object. With --export DIR it writes a short run for step parity.
"""

import argparse
import itertools
import json
import os
import sys
import time

import torch

import simclr_data
import simclr_evaluate
import simclr_model
import step_parity


def parse():
    recipe = simclr_model.RECIPE
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with train/CLASS/*, test/CLASS/*")
    parser.add_argument("--per-class", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=recipe["epochs"])
    parser.add_argument("--batch-size", type=int, default=recipe["batch_size"])
    parser.add_argument("--width", type=float, default=recipe["width"])
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--pillow", action="store_true",
                        help="augment Pillow images instead of float tensors")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--compute-threads", type=int, default=2)
    parser.add_argument("--max-steps", type=int, default=0,
                        help="stop early (the schedule stays that of all epochs); 0: do not")
    parser.add_argument("--warmup-steps", type=int, default=5,
                        help="first steps left out of images/s")
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object on stdout")
    parser.add_argument("--export", metavar="DIR", help="write the first --steps steps and stop")
    parser.add_argument("--steps", type=int, default=20)
    return parser.parse_args()


def train(args, model, recipe, loader, say):
    """Returns (mean loss of the last epoch, steps done, images/s)."""
    total_steps = args.epochs * len(loader)
    last = args.max_steps or total_steps
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model.to(memory_format=layout).train()
    optimizer = simclr_model.make_optimizer(model, recipe)
    step, timed, mean_loss, start = 0, 0, float("nan"), time.perf_counter()
    for epoch in range(args.epochs):
        losses = []
        for view0, view1 in loader:
            views = torch.cat([view0, view1]).contiguous(memory_format=layout)
            rate = simclr_model.cosine_learning_rate(step, total_steps, recipe["learning_rate"])
            losses.append(float(simclr_model.train_step(
                model, optimizer, views, rate, recipe["temperature"], args.precision)))
            step += 1
            timed += view0.shape[0]
            if step == args.warmup_steps:
                timed, start = 0, time.perf_counter()
            if step == last:
                break
        mean_loss = sum(losses) / len(losses)
        rate = timed / max(time.perf_counter() - start, 1e-9)
        say(f"epoch {epoch + 1}/{args.epochs} step {step} loss {mean_loss:.4f} {rate:.0f} images/s")
        if step == last:
            break
    speed = timed / (time.perf_counter() - start) if step > args.warmup_steps else None
    return mean_loss, step, speed


def evaluate(args, encoder, train_paths, train_labels):
    test_paths, test_labels = simclr_data.list_images(os.path.join(args.data, "test"))
    encoder.to(memory_format=torch.contiguous_format)
    h_train = simclr_evaluate.features(encoder, simclr_data.load_all(train_paths))
    h_test = simclr_evaluate.features(encoder, simclr_data.load_all(test_paths))
    return (simclr_evaluate.knn_top1(h_train, train_labels, h_test, test_labels),
            simclr_evaluate.linear_top1(h_train, train_labels, h_test, test_labels))


def main():
    args = parse()
    say = lambda text: print(text, file=sys.stderr, flush=True)
    torch.set_num_threads(args.compute_threads)
    torch.manual_seed(args.seed)
    recipe = dict(simclr_model.RECIPE, width=args.width, batch_size=args.batch_size,
                  epochs=args.epochs)
    paths, labels = simclr_data.list_images(os.path.join(args.data, "train"), args.per_class)
    loader = simclr_data.train_loader(paths, args.batch_size, args.workers, args.seed,
                                      args.pillow)
    if not len(loader):
        raise SystemExit(f"{args.data}: {len(paths)} images make no batch of {args.batch_size}")
    model = simclr_model.SimCLR(args.width, recipe["hidden"], recipe["output"])

    if args.export:
        batches = itertools.islice(itertools.chain.from_iterable(itertools.repeat(loader)),
                                   args.steps)
        views = torch.stack([torch.stack(pair) for pair in batches]).numpy()
        probe = torch.stack([simclr_data.decode(p) for p in paths[::len(paths) // 16][:16]])
        step_parity.export(args.export, model, views, probe.numpy(), recipe,
                           args.epochs * len(loader))
        return

    began = time.perf_counter()
    loss, steps, speed = train(args, model, recipe, loader, say)
    result = {"program": "pytorch", "torch": torch.__version__, "seed": args.seed,
              "precision": args.precision, "channels_last": args.channels_last,
              "compute_threads": args.compute_threads, "workers": args.workers,
              "pillow": args.pillow, "train_images": len(paths), "steps": steps,
              "loss_last_epoch": loss, "images_per_s": speed,
              "train_seconds": time.perf_counter() - began}
    if not args.no_eval:
        result["knn"], result["linear"] = evaluate(args, model.encoder, paths, labels)
        say(f"knn {result['knn']:.4f} linear {result['linear']:.4f}")
    print(json.dumps(result, indent=None if args.json else 2))


if __name__ == "__main__":
    main()
