"""One way to every image: what comes with pip, the reader's own folder, MVTec AD and VisA.

============  ===========================  =====================================================
dataset       categories                   what it is
============  ===========================  =====================================================
``elpv``      ``mono``, ``poly``           electroluminescence images of solar cells; the default
``textile``   ``local``, ``global``        simulated woven textile
``textures``  ``brick``, ``grass``,        crops of photographs that come with scikit-image, with
              ``gravel``                   rendered defects
``folder``    names of subfolders          your own images, see :func:`load`
``mvtec``     the 15 of MVTec AD           downloaded, or read from ``root=``
``visa``      the 12 of VisA               downloaded, or read from ``root=``
============  ===========================  =====================================================

All files are read with Pillow. Only :func:`load` downloads, and only ``mvtec`` or ``visa`` without
``root``. Every split is a fixed function of file names: there is no seed to choose.
"""

import csv
import difflib
import hashlib
import importlib.util
import io
import os
import shutil
import struct
import tarfile
import tempfile
import unicodedata
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
BUDGETS = ("quick", "paper")
CACHE_VARIABLE = "BOOK_DATA"
_FORMAT = 1  # part of every fingerprint; raise it when a split or a rule of reading changes
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class ImageSet:
    """Images of one size with what is known about each.

    Attributes:
        images: uint8 (N, H, W, 3), values 0 to 255; grey images have three equal channels.
        labels: int64 (N,), 0 normal, 1 anomalous.
        masks: bool (N, H, W), True on anomalous pixels; all False where ``has_mask`` is False.
        has_mask: bool (N,), True where the mask is exact. Normal images always: they have none.
        rendered: bool (N,), True where :mod:`helpers.defects` drew the defect.
        types: ``"good"``, or the kind of defect.
        paths: relative names with forward slashes, the same on every machine.
        name: dataset and category, ``"elpv/mono"``.
        license: one line, with the credit that must be given.
        fingerprint: 12 hex digits from the source files' bytes, labels, types and settings. Equal
            fingerprints mean equal data; where the files lie and what they are called is no part
            of it, nor is the version of the library that decodes them.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    has_mask: np.ndarray
    rendered: np.ndarray
    types: tuple[str, ...]
    paths: tuple[str, ...]
    name: str
    license: str
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def select(self, index: Any) -> "ImageSet":
        """Return some of the images, in the order asked for.

        Args:
            index: integers (K,), or bool (N,).

        Returns:
            An ImageSet of K images. Its fingerprint follows from this one's and the choice; the
            choice of everything in order keeps it.

        Raises:
            IndexError: for an integer outside, a bool index of another length, or another type.
        """
        every = np.arange(len(self))
        chosen = every[np.asarray(index) if np.size(index) else np.zeros(0, dtype=int)]
        parts: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                parts[field.name] = value[chosen]
            elif isinstance(value, tuple):
                parts[field.name] = tuple(value[i] for i in chosen)
        if not np.array_equal(chosen, every):
            parts["fingerprint"] = _digest(self.fingerprint, *chosen.tolist())
        return replace(self, **parts)


@dataclass(frozen=True)
class Archive:
    """Where a dataset is downloaded from.

    Attributes:
        url: address of a tar archive.
        sha256: its checksum, 64 hex digits.
        page: the official page, for a reader who downloads by hand.
    """

    url: str
    sha256: str
    page: str


# Addresses and checksums are those of anomalib: src/anomalib/data/datamodules/image/mvtecad.py and
# visa.py in github.com/open-edge-platform/anomalib. They are UNTESTED HERE: the two archives were
# never downloaded while this book was written. What does not match its checksum is thrown away.
ARCHIVES = {
    "mvtec": Archive(
        url="https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f283/"
        "download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
        page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    ),
    "visa": Archive(
        url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
        sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
        page="https://github.com/amazon-science/spot-diff",
    ),
}
_CATEGORIES = {
    "elpv": "mono poly",
    "textile": "local global",
    "textures": "brick grass gravel",
    "folder": "",
    "mvtec": "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile "
    "toothbrush transistor wood zipper",
    "visa": "candle capsules cashew chewinggum fryum macaroni1 macaroni2 pcb1 pcb2 pcb3 pcb4 "
    "pipe_fryum",
}
CATEGORIES = {dataset: tuple(names.split()) for dataset, names in _CATEGORIES.items()}
LICENSES = {
    "elpv": "ELPV: Buerhop-Lutz et al. 2018, Deitsch et al. 2019, 2021; CC BY-NC-SA 4.0 "
    "(not for commercial use)",
    "textile": "simulated textile images of the package conformal-clip-data; MIT",
    "textures": "photographs that come with scikit-image, from CC0Textures and DeviantArt; CC0",
    "folder": "your own images",
    "mvtec": "MVTec AD: Bergmann et al. 2019, 2021; CC BY-NC-SA 4.0 (not for commercial use)",
    "visa": "VisA: Zou et al. 2022; CC BY 4.0",
}


@dataclass(frozen=True)
class _Entry:
    """One image to read: where it lies and what is known about it."""

    file: Path
    path: str
    type: str = "good"
    mask: Path | None = None
    kind: str | None = None  # a defect of this kind is drawn on the image
    box: tuple[int, int, int, int] | None = None  # left, top, right, bottom of a crop


_Split = tuple[list[_Entry], list[_Entry]]


def load(
    dataset: str = "elpv",
    category: str | None = None,
    *,
    root: str | Path | None = None,
    image_size: int = 256,
    budget: str = "quick",
) -> tuple[ImageSet, ImageSet]:
    """Read a dataset as (train, test); train holds normal images only.

    ``elpv``: normal cells have defect probability 0, defective ones 1; the cells of probability
    1/3 and 2/3, on which the experts were not sure, are left out. The test set holds normal cells,
    defective cells (type "defective", without masks: none exist) and further normal cells on which
    :mod:`helpers.defects` drew a defect after resizing (exact masks). No cell is used twice.
    Quick: 240 train, 100 normal, 100 defective, 60 rendered. Paper: every defective cell (313 mono,
    402 poly) and every normal one (588, 920): a quarter normal test, a sixth rendered, the rest
    train. The quick sets are parts of these.

    ``textile``: train and normal test are the nominal images, the category names the defects; no
    masks. Quick: 240 train, 100 normal, 100 defective. Paper: 750, 250, 500.

    ``textures``: overlapping crops of 128 x 128 pixels out of one photograph; those of the test set
    come from a part of the photograph that train does not see. All its defects are rendered, so it
    supports pixel metrics only. The budget changes nothing.

    ``folder``: the layout of MVTec AD under ``root`` or ``root/category``::

        train/good/*    test/good/*    test/<type>/*    ground_truth/<type>/<name>_mask.png

    or ``good/*`` beside ``<type>/*``, or good images alone: directly in the folder, in ``good`` or
    in ``train/good``. Masks are optional: zero where normal, one other value elsewhere, of the
    image's size, called like the image with or without ``_mask``. A mask that marks nothing counts
    as none, with a warning. Without normal test images every fifth good image, by name, becomes
    one. Files end in .png .jpg .jpeg .bmp .tif or .tiff, and may differ in size and mode.

    ``mvtec`` and ``visa``: ``root`` is the folder that holds the categories. Without it they are
    downloaded once, to the folder that the environment variable BOOK_DATA names or else to the
    user's cache. VisA is split by its own ``split_csv/1cls.csv``, its masks are made binary.

    Args:
        dataset: one of the above.
        category: default: the dataset's first; none for ``folder``.
        root: folder of your own images, or of an existing copy of ``mvtec`` or ``visa``.
        image_size: side in pixels, at least 32; images are resized to a square with Pillow's
            antialiased bilinear filter, masks by nearest neighbour (one that would vanish keeps
            every pixel it touches).
        budget: "quick" or "paper", for the datasets that come with pip; others use all files.

    Returns:
        train and test.

    Raises:
        ValueError: unknown names (with the nearest known), no normal images, unreadable images,
            masks that are not binary, of another size or without image, a wrong checksum, an
            archive that would write outside its folder.
        FileNotFoundError: a folder that does not exist or holds no images.
        ConnectionError: a download without network.
        ModuleNotFoundError: a data package is not installed.
    """
    _known("dataset", dataset, CATEGORIES)
    _known("budget", budget, BUDGETS)
    if not isinstance(image_size, int) or image_size < 32:
        raise ValueError(f"image_size must be an integer of at least 32, found {image_size!r}")
    if dataset == "folder":
        if root is None:
            raise ValueError('dataset "folder" needs root=, the folder that holds your images')
        base = _base(_existing(root), category)
        return _read(*_folder(base), f"folder/{_nfc(base.resolve().name)}", image_size)
    category = CATEGORIES[dataset][0] if category is None else category
    _known(f"category of {dataset}", category, CATEGORIES[dataset])
    if dataset in ARCHIVES:
        home = _home(dataset, category, root)
        split = _visa(home, category) if dataset == "visa" else _folder(home / category)
    elif root is not None:
        raise ValueError(
            f'{dataset} comes with pip and takes no root=; for your own images: dataset="folder"'
        )
    else:
        split = _PACKAGED[dataset](category, budget == "quick")
    return _read(*split, f"{dataset}/{category}", image_size)


def hold_out(images: ImageSet, fraction: float) -> tuple[ImageSet, ImageSet]:
    """Split off some images, for instance normal ones that a threshold is taken from.

    The choice follows the names of the files: always the same, and unrelated to their order.

    Args:
        images: N images, N >= 2.
        fraction: share to hold out, between 0 and 1; at least one image stays on each side.

    Returns:
        (the rest, the held-out images), both in the order of `images`.

    Raises:
        ValueError: for a fraction outside (0, 1) or fewer than two images.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, found {fraction}")
    if len(images) < 2:
        raise ValueError(f"two images at least are needed to split, found {len(images)}")
    order = sorted(range(len(images)), key=lambda i: (_digest(images.paths[i]), i))
    count = min(max(round(fraction * len(images)), 1), len(images) - 1)
    held = np.zeros(len(images), dtype=bool)
    held[order[:count]] = True
    return images.select(~held), images.select(held)


def available(
    dataset: str | None = None, *, root: str | Path | None = None
) -> dict[str, list[str]]:
    """List datasets and their categories.

    Args:
        dataset: only this one; default: all.
        root: for ``folder``, ``mvtec`` and ``visa``: list the categories found in this folder.

    Returns:
        Categories by dataset. ``folder`` has those of `root`, or none.

    Raises:
        ValueError: for an unknown dataset.
        FileNotFoundError: for a root that does not exist.
    """
    _known("dataset", "folder" if dataset is None else dataset, CATEGORIES)
    listed = {d: list(c) for d, c in CATEGORIES.items() if dataset in (None, d)}
    if root is not None:
        found = [_nfc(p.name) for p in _folders(_existing(root)) if _is_category(p)]
        for name in {"folder", *ARCHIVES} & set(listed):
            listed[name] = [c for c in found if name == "folder" or c in CATEGORIES[name]]
    return listed


def read_image(path: str | Path) -> np.ndarray:
    """Read one image as the rest of the book expects it.

    EXIF rotation is applied, palettes are resolved, transparency is laid on black, grey is
    repeated. Images of 16 bits are divided so that the smallest of 8, 10, 12, 14, 16 bits that
    holds their largest value becomes 8 bits (:func:`load` takes the largest value of all its
    images, so that they stay comparable). Colour of 16 bits keeps its upper 8. Of several pages the
    first is read.

    Args:
        path: an image file of a type in ``SUFFIXES``.

    Returns:
        uint8 (H, W, 3).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be decoded, naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    pixels = _decode(path.read_bytes(), path)
    return _to_rgb8(pixels, int(pixels.max())) if pixels.ndim == 2 else pixels


# --- reading ------------------------------------------------------------------------------------


def _decode(data: bytes, path: Path) -> np.ndarray:
    """Decode a file to uint8 (H, W, 3), or to uint16 (H, W) if it holds more than 8 bits."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode[0] in "IF":
                values = np.array(image)
            elif image.has_transparency_data:
                image = image.convert("RGBA")
                black = Image.new("RGBA", image.size, "black")
                return np.array(Image.alpha_composite(black, image).convert("RGB"))
            else:
                return np.array(image.convert("RGB"))
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} cannot be read as an image ({len(data)} bytes; {error}); it is damaged, cut "
            "off, too large or of another type: replace it or take it out of the folder"
        ) from error
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or low < 0 or high > 65535:
        raise ValueError(
            f"{path} holds {values.dtype} values from {low:g} to {high:g}, which have no natural "
            "scale as an image; save it with 8 or 16 bits per channel"
        )
    return values.astype(np.uint16)


def _to_rgb8(values: np.ndarray, maximum: int) -> np.ndarray:
    bits = next(b for b in (8, 10, 12, 14, 16) if maximum < 2**b)
    grey = np.rint(values.astype(np.float32) * (255 / (2**bits - 1))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) or uint16 (H, W) to a square."""
    deep = pixels.dtype == np.uint16
    image = Image.fromarray(pixels.astype(np.float32) if deep else pixels)
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.rint(resized).astype(np.uint16) if deep else resized


def _read_mask(
    data: bytes, entry: _Entry, shape: tuple[int, ...], binarise: bool, size: int
) -> np.ndarray:
    """Decode a mask, check it against its image, resize it to bool (size, size)."""
    pixels = _decode(data, entry.mask).astype(np.int64)
    if pixels.shape[:2] != shape:
        raise ValueError(
            f"mask {entry.mask} is {pixels.shape[1]} x {pixels.shape[0]} pixels, its image "
            f"{entry.file} is {shape[1]} x {shape[0]}; a mask must have the size of its image"
        )
    if pixels.ndim == 3:  # one number per colour; a grey value stands for itself
        grey = (pixels[..., :1] == pixels).all()
        pixels = pixels[..., 0] if grey else pixels @ [1 << 16, 1 << 8, 1]
    values = np.unique(pixels)
    if not binarise and np.count_nonzero(values) > 1:
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise ValueError(
            f"mask {entry.mask} is not binary: it has {len(values)} values ({shown}); write 0 for "
            "normal and one other value for anomalous pixels, as .png (JPEG blurs the edges)"
        )
    rows, columns = np.nonzero(pixels)
    if entry.type == "good" and len(rows):
        raise ValueError(
            f"mask {entry.mask} marks {len(rows)} pixels of {entry.file}, a normal image; move the "
            "image to the folder of its defect or delete the mask"
        )
    image = Image.fromarray((pixels > 0).astype(np.uint8))
    mask = np.array(image.resize((size, size), Image.Resampling.NEAREST)) > 0
    if not mask.any():  # a thin defect can fall between the rows that are kept
        mask[rows * size // shape[0], columns * size // shape[1]] = True
    return mask


def _read(
    train: Sequence[_Entry], test: Sequence[_Entry], name: str, size: int
) -> tuple[ImageSet, ImageSet]:
    """Read all entries into arrays: one pass, one image in memory besides the result."""
    from helpers import defects

    entries = [*train, *test]
    images = np.zeros((len(entries), size, size, 3), dtype=np.uint8)
    masks = np.zeros(images.shape[:3], dtype=bool)
    has_mask = np.array([e.type == "good" for e in entries], dtype=bool)
    deep: dict[int, np.ndarray] = {}
    digests: list[str] = []
    file, data, pixels, deepest = None, b"", np.zeros(0), 0
    for i, entry in enumerate(entries):
        if entry.file != file:
            file, data = entry.file, entry.file.read_bytes()
            pixels = _decode(data, file)
        parts = [hashlib.sha256(data).hexdigest(), entry.type, entry.kind, entry.box]
        left, top, right, bottom = entry.box or (0, 0, *pixels.shape[1::-1])
        resized = _resize(pixels[top:bottom, left:right], size)
        if pixels.dtype == np.uint16:  # their common scale is known when all are read
            deep[i], deepest = resized, max(deepest, int(pixels.max()))
        else:
            images[i] = resized
        if entry.mask is not None:
            marks = entry.mask.read_bytes()
            masks[i] = _read_mask(marks, entry, pixels.shape[:2], name.startswith("visa/"), size)
            parts.append(hashlib.sha256(marks).hexdigest())
            if entry.type != "good" and not masks[i].any():
                warnings.warn(f"mask {entry.mask} marks no pixel; it counts as none", stacklevel=3)
            has_mask[i] |= masks[i].any()
        if entry.kind is not None:
            rng = np.random.default_rng(int(_digest(entry.path, entry.kind), 16))
            images[i], masks[i] = defects.render(images[i], entry.kind, rng=rng)
            has_mask[i] = True
            parts += [entry.path, defects.VERSION]
        digests.append(_digest(*parts))
    for i, values in deep.items():
        images[i] = _to_rgb8(values, deepest)

    def part(span: slice) -> ImageSet:
        return ImageSet(
            images=images[span],
            labels=np.array([e.type != "good" for e in entries[span]], dtype=np.int64),
            masks=masks[span],
            has_mask=has_mask[span],
            rendered=np.array([e.kind is not None for e in entries[span]], dtype=bool),
            types=tuple(e.type for e in entries[span]),
            paths=tuple(e.path for e in entries[span]),
            name=name,
            license=LICENSES[name.split("/")[0]],
            fingerprint=_digest(_FORMAT, size, *sorted(digests[span])),
        )

    return part(slice(len(train))), part(slice(len(train), None))


# --- what comes with pip ------------------------------------------------------------------------


def _package(module: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"{distribution} is not installed; run: python -m pip install {distribution}"
        )
    return Path(spec.origin).parent / "data"


def _shuffled(entries: Iterable[_Entry]) -> list[_Entry]:
    """An order that looks random and is the same everywhere."""
    return sorted(entries, key=lambda entry: (_digest(entry.path), entry.path))


def _with_kinds(entries: Sequence[_Entry], kinds: Sequence[str]) -> list[_Entry]:
    """Normal images and, in turn, the kind of defect to draw on each."""
    drawn = [kinds[i % len(kinds)] for i in range(len(entries))]
    return [replace(e, type=k, kind=k) for e, k in zip(entries, drawn, strict=True)]


def _elpv(category: str, quick: bool) -> _Split:
    from helpers.defects import KINDS

    home = _package("elpv_dataset", "elpv-dataset")
    rows = [line.split() for line in (home / "labels.csv").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row[2] == category]
    good = _shuffled(_Entry(home / p, p) for p, probability, _ in rows if float(probability) == 0)
    bad = _shuffled(_Entry(home / p, p, "defective") for p, prob, _ in rows if float(prob) == 1)
    first = len(good) // 4
    second = first + len(good) // 24 * len(KINDS)
    tested, drawn, train = good[:first], good[first:second], good[second:]
    if quick:
        tested, bad, drawn, train = tested[:100], bad[:100], drawn[:60], train[:240]
    return train, [*tested, *bad, *_with_kinds(drawn, KINDS)]


def _textile(category: str, quick: bool) -> _Split:
    home = _package("conformal_clip_data", "conformal-clip-data") / "textile_images" / "simulated"
    good = _shuffled(_Entry(p, f"nominal/{p.name}") for p in _images(home / "nominal"))
    bad = _shuffled(_Entry(p, f"{category}/{p.name}", category) for p in _images(home / category))
    tested, train = good[: len(good) // 4], good[len(good) // 4 :]
    if quick:
        tested, bad, train = tested[:100], bad[:100], train[:240]
    return train, [*tested, *bad]


def _textures(category: str, quick: bool) -> _Split:
    file = _package("skimage", "scikit-image") / f"{category}.png"

    def crops(tops: range, step: int) -> list[_Entry]:
        places = [(top, left) for top in tops for left in range(0, 385, step)]
        return [
            _Entry(file, f"{category}/{top:03d}_{left:03d}", box=(left, top, left + 128, top + 128))
            for top, left in places
        ]

    train = crops(range(0, 193, 24), 24)  # rows 0 to 319 of 512
    test = _shuffled(crops(range(320, 385, 16), 16))  # rows 320 to 511
    return train, [*test[:60], *_with_kinds(test[60:120], ("crack", "scratch", "stain"))]


_PACKAGED = {"elpv": _elpv, "textile": _textile, "textures": _textures}


# --- folders ------------------------------------------------------------------------------------


def _nfc(text: str) -> str:
    """One spelling for Hangul: some systems store it decomposed."""
    return unicodedata.normalize("NFC", text)


def _inside(folder: Path) -> list[Path]:
    found = [p for p in folder.iterdir() if p.name[0] != "."] if folder.is_dir() else []
    return sorted(found, key=lambda p: _nfc(p.name))


def _images(folder: Path) -> list[Path]:
    return [p for p in _inside(folder) if p.suffix.lower() in SUFFIXES and p.is_file()]


def _folders(folder: Path) -> list[Path]:
    return [p for p in _inside(folder) if p.is_dir()]


def _is_category(folder: Path) -> bool:
    return any(_images(folder / place) for place in ("good", "train/good", "Data/Images/Normal"))


def _existing(root: str | Path) -> Path:
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; root= must be an existing folder")
    return folder


def _base(root: Path, category: str | None) -> Path:
    """The folder that holds train/, good/ or the images."""
    by_name = {_nfc(p.name): p for p in _folders(root)}
    if category is not None:
        _known(f"category in {root}", _nfc(category), by_name)
        return by_name[_nfc(category)]
    categories = [n for n, p in by_name.items() if n not in ("train", "test") and _is_category(p)]
    if categories and not _images(root) and not _is_category(root):
        raise ValueError(f"{root} holds several categories: choose one of {', '.join(categories)}")
    return root


def _folder(base: Path) -> _Split:
    """Entries of a folder in MVTec AD layout, or of good images only."""
    for part in (base / "train", base / "test"):
        if _images(part):
            raise ValueError(
                f"{part} holds images directly; sort them into {part.name}/good and test/<type>, "
                "so that their labels are known"
            )
    extra = [p.name for p in _folders(base / "train") if p.name != "good"]
    if extra:
        raise ValueError(
            f"{base / 'train'} holds {', '.join(extra)} beside good, but training uses normal "
            f"images only; move them to {base / 'test'}"
        )
    if (base / "train").is_dir():
        good, kinds = _images(base / "train" / "good"), _folders(base / "test")
    elif (base / "good").is_dir():
        apart = ("good", "ground_truth")
        good, kinds = _images(base / "good"), [p for p in _folders(base) if p.name not in apart]
    else:
        good, kinds = _images(base), []
    if len(good) < 2:
        files = [p for p in base.rglob("*") if p.is_file()]
        found = sorted(
            {f"{_nfc(p.parent.relative_to(base).as_posix())}/*{p.suffix}" for p in files}
        )
        images = [p for p in files if p.suffix.lower() in SUFFIXES]
        raise (ValueError if images else FileNotFoundError)(
            f"{base} holds {len(good)} normal images, at least 2 are needed: directly in it, in "
            f"good/ or in train/good/, ending in {' '.join(SUFFIXES)}. "
            f"Found: {', '.join(found[:8]) or 'an empty folder'}"
        )
    files = {_nfc(p.name): _images(p) for p in kinds}
    if not files.get("good"):
        files = {"good": good[::5], **files}
        good = [p for i, p in enumerate(good) if i % 5]
    masks = {_nfc(p.name): _images(p) for p in _folders(base / "ground_truth")}
    test: list[_Entry] = []
    for kind in sorted({*files, *masks}, key=lambda kind: (kind != "good", kind)):
        test += _with_masks(base, kind, files.get(kind, []), masks.get(kind, []))
    return [_Entry(p, _relative(p, base)) for p in good], test


def _with_masks(base: Path, kind: str, files: list[Path], masks: list[Path]) -> list[_Entry]:
    stems = [_nfc(p.stem) for p in files]
    if masks and len(set(stems)) < len(stems):
        raise ValueError(
            f"images in {files[0].parent} differ in their suffix only, so that it is not clear "
            "whose a mask is; rename them"
        )
    owner: dict[str, Path] = {}
    for mask in masks:
        stem = _nfc(mask.stem)
        stem = stem if stem in stems else stem.removesuffix("_mask")
        if stem not in stems:
            raise ValueError(
                f"mask {mask} belongs to no image: there is no {stem} of type {kind}; a mask is "
                "called like its image, with or without _mask"
            )
        owner[stem] = mask
    pairs = zip(files, stems, strict=True)
    return [_Entry(p, _relative(p, base), kind, owner.get(stem)) for p, stem in pairs]


def _relative(path: Path, base: Path) -> str:
    return _nfc(path.relative_to(base).as_posix())


# --- MVTec AD and VisA --------------------------------------------------------------------------


def _home(dataset: str, category: str, root: str | Path | None) -> Path:
    """The folder that holds a dataset's categories: `root`, or our own download."""
    if root is not None:
        home = _existing(root)
    else:
        import pooch

        given = os.environ.get(CACHE_VARIABLE)
        cache = Path(given).expanduser() if given else Path(pooch.os_cache("visual-anomaly-book"))
        home = cache / dataset
        if not home.is_dir():
            archive = _download(dataset, cache)
            _unpack(archive, home, category)
            archive.unlink()
    if not (home / category).is_dir():
        inside = ", ".join(p.name for p in _folders(home)[:8]) or "no folders"
        raise FileNotFoundError(
            f"{home} holds no folder {category} (found: {inside}); it must hold the categories of "
            f"{dataset}"
        )
    return home


def _download(dataset: str, cache: Path) -> Path:
    """Fetch the archive. Pooch writes to a temporary file until the checksum is right."""
    import pooch
    import requests

    source = ARCHIVES[dataset]
    remedy = f"Try again later, or download it from {source.page} and give the folder as root="
    try:
        file = pooch.retrieve(
            source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=source.url.rsplit("/", 1)[1],
            path=cache,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    except requests.exceptions.RequestException as error:
        answer = getattr(error.response, "status_code", None)
        why = f"it answers {answer}" if answer else f"no connection, {type(error).__name__}"
        raise ConnectionError(
            f"{dataset} is not on this machine and {source.url} cannot be fetched: {why}. {remedy}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{source.url} sent a file with a wrong checksum, thrown away: {error} {remedy}"
        ) from error
    return Path(file)


def _unpack(archive: Path, home: Path, category: str) -> None:
    """Unpack beside `home` and move it there when all is well: there is never half a dataset."""

    def plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
        if Path(member.name).is_absolute() or not (member.isfile() or member.isdir()):
            raise tarfile.FilterError(f"{member.name!r} is a link, a device or an absolute path")
        return tarfile.data_filter(member, folder)  # refuses what leaves the folder

    print(f"unpacking {archive.name}; this can take minutes", flush=True)
    partial = Path(tempfile.mkdtemp(prefix=f".partial-{home.name}-", dir=home.parent))
    try:
        with tarfile.open(archive, "r|*") as tar:
            tar.extractall(partial, filter=plain)
        found = next((p for p in (partial, *_folders(partial)) if (p / category).is_dir()), None)
        if found is None:
            raise ValueError(f"{archive} holds no folder {category}: it is another archive")
        found.rename(home)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{archive} was not unpacked ({error}); nothing of it was kept. Delete it, and do not "
            "trust where it came from"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _visa(home: Path, category: str) -> _Split:
    """Entries of VisA by its own one-class split."""
    table = home / "split_csv" / "1cls.csv"
    if not table.is_file():
        raise FileNotFoundError(f"{table} is missing; VisA's split table comes with its archive")
    split: dict[str, list[_Entry]] = {"train": [], "test": []}
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["object"] != category:
                continue
            kind = "good" if row["label"] == "normal" else "anomaly"
            mask = home / row["mask"] if row["mask"] and kind != "good" else None
            split[row["split"]].append(_Entry(home / row["image"], row["image"], kind, mask))
    for file in [f for e in (*split["train"], *split["test"]) for f in (e.file, e.mask) if f]:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is named in {table}, but is not there")
    if not split["train"] or any(e.type != "good" for e in split["train"]):
        raise ValueError(f"{table} names no purely normal training images of {category}")
    return split["train"], split["test"]


# --- small things -------------------------------------------------------------------------------


def _digest(*parts: Any) -> str:
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:12]


def _known(what: str, name: Any, names: Iterable[str]) -> None:
    """Raise a ValueError with the nearest suggestion unless `name` is one of `names`."""
    names = list(names)
    if name in names:
        return
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[near[0]]!r}? " if near else ""
    raise ValueError(f"unknown {what}: {name!r}; {hint}known: {', '.join(names) or 'none'}")
