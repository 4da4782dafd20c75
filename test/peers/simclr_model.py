# SPDX-License-Identifier: Apache-2.0
"""SimCLR in plain PyTorch: the small ResNet, the projection head, the loss and the schedule."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

RECIPE = {
    "width": 0.25, "hidden": 1024, "output": 128, "temperature": 0.5, "batch_size": 256,
    "epochs": 10, "learning_rate": 0.06, "momentum": 0.9, "weight_decay": 5e-4,
}


class Encoder(nn.Module):
    """ResNet-18 for 32-pixel images; parameter names are torchvision's, features are pooled."""

    def __init__(self, width):
        super().__init__()
        channels = [int(c * width) for c in (64, 128, 256, 512)]
        self.feature_dim = channels[-1]
        self.conv1 = nn.Conv2d(3, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        before = channels[0]
        for k, after in enumerate(channels):
            stride = 1 if k == 0 else 2
            shortcut = None
            if stride != 1:
                shortcut = nn.Sequential(
                    nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))
            layer = nn.Sequential(BasicBlock(before, after, stride, shortcut),
                                  BasicBlock(after, after))
            setattr(self, f"layer{k + 1}", layer)
            before = after
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x.mean(dim=(2, 3))


class Projector(nn.Module):
    """F -> hidden -> output, ReLU between, no batch norm, no biases."""

    def __init__(self, features, hidden, output):
        super().__init__()
        self.linear1 = nn.Linear(features, hidden, bias=False)
        self.linear2 = nn.Linear(hidden, output, bias=False)

    def forward(self, h):
        return self.linear2(F.relu(self.linear1(h)))


class SimCLR(nn.Module):
    def __init__(self, width, hidden, output):
        super().__init__()
        self.encoder = Encoder(width)
        self.projector = Projector(self.encoder.feature_dim, hidden, output)

    def forward(self, x):
        return self.projector(self.encoder(x))


def nt_xent(z, temperature):
    """Mean over the 2N anchors; z holds view 0's N rows, then view 1's."""
    z = F.normalize(z, dim=1)
    rows = z.shape[0]
    similarity = z @ z.t() / temperature
    similarity.fill_diagonal_(-math.inf)
    partner = torch.arange(rows, device=z.device).roll(rows // 2)
    return F.cross_entropy(similarity, partner)


def cosine_learning_rate(step, total_steps, base):
    """The rate of step 0, 1, ...; it would reach 0 at total_steps."""
    return 0.5 * base * (1 + math.cos(math.pi * step / total_steps))


def make_optimizer(model, recipe):
    return torch.optim.SGD(model.parameters(), lr=recipe["learning_rate"],
                           momentum=recipe["momentum"], weight_decay=recipe["weight_decay"])


def train_step(model, optimizer, views, learning_rate, temperature, precision="float32"):
    """One step on views [2N, 3, H, W] in one forward; returns the loss before the update."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        z = model(views)
    loss = nt_xent(z.float() if precision == "bfloat16" else z, temperature)
    loss.backward()
    optimizer.step()
    return loss.detach()
