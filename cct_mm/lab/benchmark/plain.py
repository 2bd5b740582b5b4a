"""The yardstick: a plain PyTorch step of ResNet-50-d8 + PSP, without decoders, in float32.

It stands for the released code with K = 0 on a GPU on which nobody has run that: the same network
and passes (labeled images, then unlabeled ones, backward, SGD), and nothing around them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck, ResNet

from .cases import Case, Work

DEPTHS = {50: (3, 4, 6, 3), 14: (1, 1, 1, 1)}
"""Blocks of the four stages, by the number of layers."""

CHANNELS = 512
"""Channels of z."""


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class PlainEncoder(nn.Module):
    """A ResNet of stride 8 with a stem of three 3x3 convolutions, and a pyramid pooling module.

    Args:
        depth: One of :data:`DEPTHS`.

    Shape:
        - images: [B, 3, 8 h, 8 w]
        - output: [B, 512, h, w]
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        resnet = ResNet(
            Bottleneck, list(DEPTHS[depth]), replace_stride_with_dilation=[False, True, True]
        )
        stem = [conv(3, 32, 3, stride=2), conv(32, 32, 3), conv(32, 64, 3), resnet.maxpool]
        stages = [resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]
        self.resnet = nn.Sequential(*stem, *stages)
        self.pyramid = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), conv(2048, 512, 1)) for size in (1, 2, 3, 6)
        )
        self.bottleneck = conv(2048 + 4 * 512, CHANNELS, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Return z."""
        x = self.resnet(images)  # [B, 2048, h, w]
        pooled = [
            F.interpolate(level(x), x.shape[2:], mode='bilinear', align_corners=False)
            for level in self.pyramid
        ]  # [B, 512, h, w] each
        return self.bottleneck(torch.cat([x, *pooled], dim=1))


def plain_head(classes: int) -> nn.Sequential:
    """Return the main head: a 1x1 convolution, then three sub-pixel convolutions."""
    layers: list[nn.Module] = [nn.Conv2d(CHANNELS, classes, 1, bias=False)]
    for _ in range(3):
        layers += [nn.Conv2d(classes, 4 * classes, 1), nn.ReLU(), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


def plain_case(
    name: str,
    classes: int,
    size: Sequence[int],
    labeled: int,
    unlabeled: int,
    device: torch.device,
    seed: int,
    depth: int = 50,
) -> Case:
    """Return the case of a plain step from random images and labels on the device.

    The mean of z takes the place of L_u, as in :func:`~.variants.no_decoders`.
    """

    def build() -> Work:
        torch.manual_seed(seed)
        encoder, head = PlainEncoder(depth).to(device), plain_head(classes).to(device)
        parameters = [*encoder.parameters(), *head.parameters()]
        # A learning rate of 0, so that every repeat computes the same.
        optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, weight_decay=1e-4)
        images = torch.randn(labeled, 3, *size, device=device)
        others = torch.randn(unlabeled, 3, *size, device=device)
        labels = torch.randint(classes, (labeled, *size), device=device)

        def run() -> Tensor:
            supervised = F.cross_entropy(head(encoder(images)), labels)
            loss = supervised + encoder(others).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return Work(run)

    return Case(name, build, images=labeled + unlabeled, above_bare=True, memory_runs=2)
