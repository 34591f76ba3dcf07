"""The loop that everybody writes for MNIST: torchvision's dataset, image by image, and torch's own layers.

Nothing of Thorax is in it. It is the peer of `bench_training.py`.
"""

import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST

BATCH = 64
RATE = 1e-3


def lenet5() -> nn.Sequential:
    """Build LeNet-5 (LeCun et al. 1998, section II.B) for one channel of 32x32."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


class PlainLoop:
    """A network, its optimizer and both parts of MNIST.

    Args:
        root: Holds `MNIST/raw/` with the four idx files.
        seed: Of the weights and of the order.
    """

    def __init__(self, root: Path, *, seed: int = 0) -> None:
        torch.manual_seed(seed)
        steps = [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
        self.train_set = MNIST(root, train=True, transform=transforms.Compose(steps))
        self.test_set = MNIST(root, train=False, transform=transforms.Compose(steps))
        self.model = lenet5()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)

    def train(self, batches: int | None = None) -> int:
        """Train for an epoch, or so many batches of one; return how many images were seen."""
        self.model.train()
        running, seen = 0.0, 0
        for step, (images, labels) in enumerate(DataLoader(self.train_set, batch_size=BATCH, shuffle=True)):
            if step == batches:
                break
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            running += loss.item()
            seen += len(labels)
        return seen

    @torch.no_grad()
    def test_accuracy(self) -> float:
        """Return the share of test images that are right."""
        self.model.eval()
        right, seen = 0, 0
        for images, labels in DataLoader(self.test_set, batch_size=BATCH):
            right += int((self.model(images).argmax(1) == labels).sum())
            seen += len(labels)
        return right / seen

    def seconds_to(self, accuracy: float, *, most_epochs: int) -> tuple[float, list[float]]:
        """Train until an epoch ends at `accuracy`; return the seconds of it all, and each epoch's accuracy."""
        started, reached = time.perf_counter(), [0.0]
        while reached[-1] < accuracy and len(reached) <= most_epochs:
            self.train()
            reached.append(self.test_accuracy())
        return time.perf_counter() - started, reached[1:]
