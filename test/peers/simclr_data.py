# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 as JPEG folders, and SimCLR's two views by torchvision's transforms on float tensors."""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import image_list


def list_images(folder, count=None, skip=0):
    """As image_list.list_images, with labels as an array."""
    paths, labels, _ = image_list.list_images(folder, count, skip)
    return paths, np.array(labels)


def decode(path):
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def view_transform():
    """The recipe's chain; it takes float tensors and Pillow images."""
    return v2.Compose([
        v2.RandomResizedCrop(32, scale=(0.2, 1.0), antialias=True),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(0.1),
    ])


class TwoViews(Dataset):
    """Pairs of views, by float tensors (clr's semantics) or by Pillow's uint8 images (faster)."""

    def __init__(self, paths, pillow=False):
        self.paths = paths
        self.pillow = pillow
        self.transform = view_transform()
        if pillow:
            self.transform = v2.Compose(
                [self.transform, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if self.pillow:
            image = Image.open(self.paths[index]).convert("RGB")
        else:
            image = decode(self.paths[index]).to(torch.float32) / 255
        return self.transform(image), self.transform(image)


def one_thread(_):
    torch.set_num_threads(1)


def train_loader(paths, batch_size, workers, seed, pillow=False):
    return DataLoader(
        TwoViews(paths, pillow), batch_size=batch_size, shuffle=True, drop_last=True,
        num_workers=workers, persistent_workers=workers > 0, worker_init_fn=one_thread,
        generator=torch.Generator().manual_seed(seed))


def load_all(paths):
    """[N, 3, 32, 32] float32 in [0, 1], without augmentation."""
    return torch.stack([decode(p) for p in paths]).to(torch.float32) / 255
