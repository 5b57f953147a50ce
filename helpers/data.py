"""One way to every image: what comes with pip, the reader's own folder, MVTec AD and VisA.

============  ===========================  =====================================================
dataset       categories                   what it is
============  ===========================  =====================================================
``elpv``      ``mono``, ``poly``,          electroluminescence images of solar cells; the default
              ``logical``
``textile``   ``local``, ``global``        simulated woven textile
``textures``  ``brick``, ``grass``,        crops of photographs that come with scikit-image, with
              ``gravel``                   rendered defects
``folder``    names of subfolders          your own images, see :func:`load`
``mvtec``     the 15 of MVTec AD           downloaded, or read from ``root=``
``visa``      the 12 of VisA               downloaded, or read from ``root=``
============  ===========================  =====================================================

All files are read with Pillow. Only :func:`load` downloads, and only ``mvtec`` or ``visa`` without
``root``. Every split is a fixed function of file names; only :func:`hold_out` takes a seed.
"""

import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers import downloads, folders, packaged, workload
from helpers.folders import Entry, some
from helpers.names import digest, known

SUBSETS = ("quick", "all")
_FORMAT = 2  # part of every fingerprint; raise it when a split or a rule of reading changes
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
        fingerprint: 12 hex digits from the source files' bytes, labels, types and settings; a test
            set's covers the images to train on as well. Equal fingerprints mean equal data; where
            the files lie and what they are called is no part of it, nor is the version of the
            library that decodes them.
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
            parts["fingerprint"] = digest(self.fingerprint, *chosen.tolist())
        return replace(self, **parts)


_CATEGORIES = {
    "elpv": "mono poly logical",
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


def load(
    dataset: str = "elpv",
    category: str | int | None = None,
    *,
    root: str | Path | int | None = None,
    image_size: int = 256,
    subset: str | int = "quick",
) -> tuple[ImageSet, ImageSet]:
    """Read a dataset as (train, test); train holds normal images only.

    ``elpv``: normal cells have defect probability 0, defective ones 1; the cells of probability
    1/3 and 2/3, on which the experts were not sure, are left out. The test set holds normal cells,
    defective cells (type "defective", without masks: none exist) and further normal cells on which
    :mod:`helpers.defects` drew a defect after resizing (exact masks). No cell is used twice.
    Quick: 240 train, 100 normal, 100 defective, 60 rendered. All: every defective cell (313 mono,
    402 poly) and every normal one (588, 920): a quarter normal test, a sixth rendered, the rest
    train. The quick sets are parts of these. Category ``logical``: the 527 normal mono cells of
    one layout, with three horizontal busbars; all its anomalies are rendered, of
    ``defects.LOGICAL_KINDS``. Quick: 240 train, 100 normal, 90 anomalous. All: 265, 131, 131.

    ``textile``: train and normal test are the nominal images, the category names the defects; no
    masks. Quick: 240 train, 100 normal, 100 defective. All: 750, 250, 500.

    ``textures``: overlapping crops of 128 x 128 pixels out of one photograph; those of the test set
    come from a part of the photograph that train does not see. All its defects are rendered, so it
    supports pixel metrics only. The subset changes nothing.

    ``folder``: the layout of MVTec AD under ``root`` or ``root/category``::

        train/good/*    test/good/*    test/<type>/*    ground_truth/<type>/<name>_mask.png

    or ``good/*`` beside ``<type>/*``, or good images alone, and what people make of these, see
    :mod:`helpers.folders`. Every file is used, named as left out with the reason, or refused; the
    printed account says which. Masks are optional: zero where normal, one other value elsewhere, of
    the image's size, called like the image. Without normal test images every fifth good image, by
    name, becomes one. At least 4 good images are needed, or 3 and one to test. What is odd in the
    images (constant, identical, of few grey levels, hardly or mostly marked) is printed as a note.

    ``mvtec`` and ``visa``: ``root`` is the folder that holds the categories. Without it they are
    downloaded once, to the folder that the environment variable BOOK_DATA names or else to the
    user's cache. VisA is split by its own ``split_csv/1cls.csv``, its masks are made binary.

    Args:
        dataset: one of the above.
        category: default: the dataset's first; none for ``folder``. For a folder a whole number
            stands for the one subfolder called so.
        root: folder of your own images, or of an existing copy of ``mvtec`` or ``visa``.
        image_size: side in pixels, at least 32; images are resized to a square with Pillow's
            antialiased bilinear filter, masks by nearest neighbour (one that would vanish keeps
            every pixel it touches).
        subset: "quick" or "all", for the datasets that come with pip; others use all files. Or how
            many normal images to train with, at least 4: the first of what "quick" trains with. The
            test set stays.

    Returns:
        train and test.

    Raises:
        ValueError: unknown names (with the nearest known), a folder that is not understood, too few
            normal images, a `subset` of too few or of more than there are, images and masks that
            cannot be read (all of them by name), masks that are not binary, of another size or
            without image, more images than the memory holds, a wrong checksum, an archive that
            would write outside its folder.
        FileNotFoundError: a folder that does not exist or holds no images.
        ConnectionError: a download without network.
        ModuleNotFoundError: a data package is not installed.
    """
    known("dataset", dataset, CATEGORIES)
    if type(subset) is not int:
        known("subset", subset, SUBSETS)
    if not isinstance(image_size, int) or image_size < 32:
        raise ValueError(f"image_size must be an integer of at least 32, found {image_size!r}")
    if dataset == "folder":
        if root is None:
            raise ValueError('dataset "folder" needs root=, the folder that holds your images')
        base = folders.choose(root, category)
        train, test, account = folders.understand(base)
        chosen = _first(train, subset)
        if len(chosen) < len(train):
            account.append(f"train: the first {subset} of them, as subset says")
        train = chosen
        print("\n  ".join(account))
        sets, notes = _read(train, test, f"folder/{folders.nfc(base.name)}", image_size)
        print("".join(f"  note: {note}\n" for note in [*notes, *_oddities(*sets)]), end="")
        return sets
    category = CATEGORIES[dataset][0] if category is None else category
    known(f"category of {dataset}", category, CATEGORIES[dataset])
    if dataset in downloads.ARCHIVES:
        home = downloads.home_of(dataset, category, root)
        visa = dataset == "visa"
        split = downloads.visa(home, category) if visa else folders.understand(home / category)[:2]
    elif root is not None:
        raise ValueError(
            f'{dataset} comes with pip and takes no root=; for your own images: dataset="folder"'
        )
    else:
        split = packaged.DATASETS[dataset](category, subset != "all")
    train, test = split
    return _read(_first(train, subset), test, f"{dataset}/{category}", image_size)[0]


def _first(train: Sequence[Entry], subset: str | int) -> Sequence[Entry]:
    """As many images to train with as `subset` says; all of them for a word."""
    if isinstance(subset, str):
        return train
    if not folders.LEAST_TRAIN <= subset <= len(train):
        raise ValueError(
            f"subset={subset} asks for {subset} normal images to train with; give a whole number "
            f'from {folders.LEAST_TRAIN} to {len(train)}, which is what there are, or "quick"'
        )
    return train[:subset]


def hold_out(images: ImageSet, fraction: float, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """Split off some images, for instance normal ones that a threshold is taken from.

    The choice follows from the names of the files and the seed, and is the same on every machine.
    With seed 0 it takes the images whose name has the smallest hash. The packaged datasets are
    in the order of that hash already: of them seed 0 takes the first.

    Args:
        images: N images, N >= 2.
        fraction: share to hold out, between 0 and 1; at least one image stays on each side.
        seed: draws which images, 0 or more.

    Returns:
        (the rest, the held-out images), both in the order of `images`.

    Raises:
        ValueError: for a fraction outside (0, 1), a seed below 0 or fewer than two images.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, found {fraction}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, found {seed!r}")
    if len(images) < 2:
        raise ValueError(f"two images at least are needed to split, found {len(images)}")
    salt = [seed] if seed else []
    order = sorted(range(len(images)), key=lambda i: (digest(*salt, images.paths[i]), i))
    count = min(max(round(fraction * len(images)), 1), len(images) - 1)
    held = np.zeros(len(images), dtype=bool)
    held[order[:count]] = True
    return images.select(~held), images.select(held)


def summary(fit: ImageSet, calibration: ImageSet, test: ImageSet) -> str:
    """Say in three lines what a notebook works on.

    Args:
        fit: normal images that the method is fitted on.
        calibration: normal images that the threshold is taken from.
        test: the images to test on.

    Returns:
        Text: the name and the numbers of images, the kinds of test images, the license.
    """
    return (
        f"{test.name}: {len(fit)} to fit, {len(calibration)} for the threshold\n"
        f"test: {folders.counts(test.types)}\n{test.license}"
    )


def read_image(path: str | Path) -> np.ndarray:
    """Read one image as the rest of the book expects it.

    EXIF rotation is applied, palettes are resolved, transparency is laid on black, grey is
    repeated. Images of 16 bits are divided so that the smallest of 8, 10, 12, 14, 16 bits that
    holds their largest value becomes 8 bits. :func:`load` takes one scale for all its images from
    the training images alone: their bits, or, where fewer than 64 of 256 levels would be left of
    them, twice the range of their values; test images are cut off at its ends. Colour of 16 bits
    keeps its upper 8. Of several pages the first is read.

    Args:
        path: an image file of a type that Pillow reads, see :func:`helpers.folders.suffixes`.

    Returns:
        uint8 (H, W, 3).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be decoded, naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    pixels = _decode(path.read_bytes(), path)[0]
    return _to_rgb8(pixels, 0, _depth(int(pixels.max()))) if pixels.ndim == 2 else pixels


# --- reading ------------------------------------------------------------------------------------


def _decode(data: bytes, path: Path) -> tuple[np.ndarray, int, int]:
    """Decode a file to uint8 (H, W, 3), or to uint16 (H, W) if it holds more than 8 bits.

    Also returned: the EXIF orientation (1: upright) and the number of pages.
    """
    try:
        # What is ignored is of size, or of metadata that is not used.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as opened:
            turned = {n: n for n in range(9)}.get(opened.getexif().get(0x0112), 1)
            pages = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
            image = ImageOps.exif_transpose(opened)
            if image.mode[0] in "IF":
                values = np.array(image)
            elif image.has_transparency_data:
                image = image.convert("RGBA")
                black = Image.new("RGBA", image.size, "black")
                black.alpha_composite(image)
                return np.array(black.convert("RGB")), turned, pages
            else:
                return np.array(image.convert("RGB")), turned, pages
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        unknown = isinstance(error, UnidentifiedImageError)
        why = "of no known type" if unknown else re.sub(r"<_io\.\S+ .*?>", "the file", str(error))
        raise ValueError(
            f"{path} cannot be read as an image ({len(data)} bytes; {why}); it is damaged, cut "
            "off, too large or of another type: replace it or take it out of the folder"
        ) from error
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or low < 0 or high > 65535:
        raise ValueError(
            f"{path} holds {values.dtype} values from {low:g} to {high:g}, which have no natural "
            "scale as an image; save it with 8 or 16 bits per channel"
        )
    return values.astype(np.uint16), turned, pages


def _depth(maximum: int) -> int:
    return next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if maximum < 2**bits)


def _to_rgb8(values: np.ndarray, low: float, high: float) -> np.ndarray:
    grey = (values.astype(np.float32) - low) * (255 / (high - low))
    return np.repeat(np.rint(grey.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def _scale(train: Sequence[np.ndarray], alone: bool) -> tuple[float, float]:
    """The 16-bit values that become 0 and 255, from training images (H, W) alone.

    A few odd pixels or one odd image in ten do not move it. `alone`: there are no 8-bit images that
    the scale must agree with, so that it may begin above zero.
    """
    tops = sorted(int(values.max()) for values in train)
    depth = _depth(tops[-1 - len(tops) // 10])
    counts = sum(np.bincount(values.ravel(), minlength=65536) for values in train)
    low, high = np.searchsorted(np.cumsum(counts), np.array([0.001, 0.999]) * counts.sum())
    if not alone or low == high or (high - low) * 256 >= 64 * depth:
        return 0, depth
    spare = max((high - low) // 2, 4)  # room for a defect that is darker or brighter
    return max(0, low - spare), high + spare


def _resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) or uint16 (H, W) to a square."""
    deep = pixels.dtype == np.uint16
    image = Image.fromarray(pixels.astype(np.float32) if deep else pixels)
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.rint(resized).astype(np.uint16) if deep else resized


def _read_mask(
    data: bytes, file: Path, entry: Entry, shape: tuple[int, ...], turned: int, any_value: bool
) -> tuple[np.ndarray, bool]:
    """Decode a mask to bool (H, W), check it against its image.

    Also returned: True if the image was turned by EXIF and the mask's size cannot tell whether the
    mask was turned with it.
    """
    pixels, own, _ = _decode(data, file)
    pixels = pixels.astype(np.int64)
    if pixels.shape[:2] != shape:
        exif = ""
        if turned > 4 and pixels.shape[1::-1] == shape:
            exif = (
                "; it fits the image before its EXIF orientation is applied: save the image upright"
                ", or turn the mask with it"
            )
        raise ValueError(
            f"mask {file} is {pixels.shape[1]} x {pixels.shape[0]} pixels, its image {entry.file} "
            f"is {shape[1]} x {shape[0]}; a mask must have the size of its image{exif}"
        )
    if pixels.ndim == 3:  # one number per colour; a grey value stands for itself
        grey = (pixels[..., :1] == pixels).all()
        pixels = pixels[..., 0] if grey else pixels @ [1 << 16, 1 << 8, 1]
    values = np.unique(pixels)
    if not any_value and np.count_nonzero(values) > 1:
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise ValueError(
            f"mask {file} is not binary: it has {len(values)} values ({shown}); write 0 for "
            "normal and one other value for anomalous pixels, as .png (JPEG blurs the edges)"
        )
    marked = pixels > 0
    if entry.type == "good" and marked.any():
        raise ValueError(
            f"mask {file} marks {marked.sum()} pixels of {entry.file}, a normal image; move the "
            "image to the folder of its defect or delete the mask"
        )
    return marked, own != turned and (turned in (2, 3, 4) or (turned > 4 and shape[0] == shape[1]))


def _shrink(marked: np.ndarray, size: int) -> np.ndarray:
    """Resize a mask (H, W) to bool (size, size)."""
    image = Image.fromarray(marked.astype(np.uint8))
    mask = np.array(image.resize((size, size), Image.Resampling.NEAREST)) > 0
    if not mask.any():  # a thin defect can fall between the rows that are kept
        rows, columns = np.nonzero(marked)
        mask[rows * size // marked.shape[0], columns * size // marked.shape[1]] = True
    return mask


def _read(
    train: Sequence[Entry], test: Sequence[Entry], name: str, size: int
) -> tuple[tuple[ImageSet, ImageSet], list[str]]:
    """Read all entries into arrays, one image in memory besides the result; and what to note."""
    from helpers import defects

    entries = [*train, *test]
    advice = f"image_size={size} is held for all at once; use a smaller one, or fewer images"
    workload.check(memory=len(entries) * size**2 * 6, images=len(entries), advice=advice)
    images = np.zeros((len(entries), size, size, 3), dtype=np.uint8)
    masks = np.zeros(images.shape[:3], dtype=bool)
    has_mask = np.array([e.type == "good" for e in entries], dtype=bool)
    deep: dict[int, np.ndarray] = {}
    digests: list[str] = []
    problems: list[str] = []
    noted: dict[str, list[str]] = {}

    def note(what: str, entry: Entry) -> None:
        noted.setdefault(what, []).append(entry.path)

    file, data, decoded = None, b"", (np.zeros(0), 1, 1)
    for i, entry in enumerate(entries):
        try:
            if entry.file != file:
                file, data = entry.file, entry.file.read_bytes()
                decoded = _decode(data, file)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            file = None
            continue
        pixels, turned, pages = decoded
        parts = [hashlib.sha256(data).hexdigest(), entry.type, entry.kind, entry.box]
        left, top, right, bottom = entry.box or (0, 0, *pixels.shape[1::-1])
        resized = _resize(pixels[top:bottom, left:right], size)
        if pixels.dtype == np.uint16:  # their common scale is known when all are read
            deep[i] = resized
        else:
            images[i] = resized
        if pages > 1:
            note("of several pages only the first is read", entry)
        marked = np.zeros(pixels.shape[:2], dtype=bool)
        for mask in entry.masks:
            try:
                marks = mask.read_bytes()
                given = (mask, entry, pixels.shape[:2], turned, name.startswith("visa/"))
                more, doubtful = _read_mask(marks, *given)
            except (ValueError, OSError) as error:
                problems.append(str(error))
                continue
            marked |= more
            parts.append(hashlib.sha256(marks).hexdigest())
            if doubtful:
                note("turned by EXIF, and the size cannot tell whether the mask is too", entry)
        if entry.masks:
            masks[i] = _shrink(marked, size)
            if entry.type != "good" and not marked.any():
                note("the mask marks no pixel and counts as none", entry)
            if marked.mean() > 0.5:
                note("the mask marks over half the image; 0 must be normal", entry)
            has_mask[i] |= marked.any()
        if entry.kind is not None:
            rng = np.random.default_rng(int(digest(entry.path, entry.kind), 16))
            images[i], masks[i] = defects.render(images[i], entry.kind, rng=rng)
            has_mask[i] = True
            parts += [entry.path, defects.VERSION]
        digests.append(digest(*parts))
    if problems:
        lines = "".join(f"\n- {problem}" for problem in problems) if len(problems) > 1 else ""
        raise ValueError(f"{len(problems)} files cannot be used:{lines}" if lines else problems[0])
    notes = [f"{key}: {some(paths)}" for key, paths in noted.items()]
    if deep:
        learnt = [deep[i] for i in range(len(train)) if i in deep]
        low, high = _scale(learnt or list(deep.values()), alone=len(learnt) == len(train))
        for i, values in deep.items():
            images[i] = _to_rgb8(values, low, high)
        notes.append(
            f"{len(deep)} images of 16 bits: {low:g} to {high:g} become 0 to 255, from the "
            f"{'training' if learnt else 'test'} images"
        )

    def part(span: slice, *before: str) -> ImageSet:
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
            fingerprint=digest(_FORMAT, size, *before, *sorted(digests[span])),
        )

    first = part(slice(len(train)))
    return (first, part(slice(len(train), None), first.fingerprint)), notes


def _oddities(train: ImageSet, test: ImageSet) -> list[str]:
    """What is odd in the images themselves, each said once with the files."""
    images, paths = [*train.images, *test.images], [*train.paths, *test.paths]
    flat = {p for p, image in zip(paths, images, strict=True) if (image == image[0, 0]).all()}
    few = [
        path
        for path, image in zip(paths, images, strict=True)
        if path not in flat and np.count_nonzero(np.bincount(image.ravel(), minlength=256)) < 16
    ]
    first: dict[bytes, int] = {}
    same: dict[str, list[str]] = {}
    for i, image in enumerate(images):
        j = first.setdefault(hashlib.sha256(image.tobytes()).digest(), i)
        if j != i:
            where = "among the training images" if i < len(train) else "among the test images"
            if j < len(train) <= i:
                where = "in train and in test, which makes the result too good"
            same.setdefault(where, []).append(f"{paths[i]} = {paths[j]}")
    noted = {"one colour everywhere": sorted(flat), "fewer than 16 levels of grey": few}
    noted |= {f"the same image {where}": pairs for where, pairs in same.items()}
    return [f"{what}: {some(names)}" for what, names in noted.items() if names]
