# SPDX-License-Identifier: Apache-2.0
"""Exports a short training run, so that another program can repeat it and compare every loss.

Writes into a folder:
  initial.safetensors   weights and buffers before step 0: encoder.* (torchvision's names),
                        projector.linear1.weight, projector.linear2.weight
  views.npy             [steps, 2, N, 3, 32, 32], float32, or uint8 meaning value / 255
  probe.npy             [16, 3, 32, 32], same dtype: images for the features
  features.npy          [16, F] float32: the encoder in eval mode after the last step
  features_float64.npy  the same of a run in float64 (weights and views widened, all else equal)
  initial_features.npy  as features.npy, before step 0
  parity.json           hyper-parameters, learning rates, losses (float32 and float64), gradient
                        norms, final tensors

Training at the recipe's rate is chaotic in float32: a change in the last bit (another thread count,
another order of operations in the loss) flips a few ReLUs and grows about tenfold a step, to 1e-3
of the loss after five steps and 1e-2 after twelve. So the float32 losses can only be met by the
same kernels, thread count and loss expression (simclr_model.nt_xent); the float64 losses can be met
by any right program that runs in float64: the strict test of method, optimiser and schedule.
"""

import copy
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

import simclr_evaluate
import simclr_model


def to_float(array, dtype=torch.float32):
    values = torch.tensor(array).to(dtype)
    return values / 255 if array.dtype == np.uint8 else values


def run(model, views, recipe, total_steps, dtype):
    """Trains on views [steps, 2, N, 3, H, W]; returns (losses, gradient norms)."""
    optimizer = simclr_model.make_optimizer(model, recipe)
    model.train()
    losses, norms = [], []
    for step, pair in enumerate(views):
        rate = simclr_model.cosine_learning_rate(step, total_steps, recipe["learning_rate"])
        loss = simclr_model.train_step(model, optimizer, to_float(pair, dtype).flatten(0, 1), rate,
                                       recipe["temperature"])
        norms.append(float(torch.linalg.vector_norm(torch.stack(
            [p.grad.double().norm() for p in model.parameters()]))))
        losses.append(float(loss))
    return losses, norms


def export(folder, model, views, probe, recipe, total_steps):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.clone().contiguous() for k, v in model.state_dict().items()},
              str(folder / "initial.safetensors"))
    np.save(folder / "views.npy", views)
    np.save(folder / "probe.npy", probe)
    np.save(folder / "initial_features.npy",
            simclr_evaluate.features(model.encoder, to_float(probe)).numpy())

    exact = copy.deepcopy(model).double()
    losses, norms = run(model, views, recipe, total_steps, torch.float32)
    exact_losses, _ = run(exact, views, recipe, total_steps, torch.float64)
    features = simclr_evaluate.features(model.encoder, to_float(probe))
    exact_features = simclr_evaluate.features(exact.encoder, to_float(probe, torch.float64))
    np.save(folder / "features.npy", features.numpy())
    np.save(folder / "features_float64.npy", exact_features.numpy())

    steps = len(views)
    away = float((features - exact_features).norm() / exact_features.norm())
    parity = {
        "torch": torch.__version__.split("+")[0],
        "compute_threads": torch.get_num_threads(),
        "steps": steps,
        "total_steps": total_steps,
        "recipe": recipe,
        "schedule": "0.5 * learning_rate * (1 + cos(pi * step / total_steps))",
        "learning_rates": [
            simclr_model.cosine_learning_rate(s, total_steps, recipe["learning_rate"])
            for s in range(steps)],
        "losses": losses,
        "losses_float64": exact_losses,
        "gradient_norms": norms,
        "features_relative_distance_to_float64": away,
        "final_tensors_float64": {
            name: {"shape": list(t.shape), "sum": float(t.double().sum()),
                   "norm": float(t.double().norm())}
            for name, t in exact.state_dict().items()},
    }
    (folder / "parity.json").write_text(json.dumps(parity, indent=1) + "\n")
    print(f"{folder}: losses {losses[0]:.6f} ... {losses[-1]:.6f}, "
          f"float64 {exact_losses[-1]:.6f}, features off float64 by {away:.1e}")
