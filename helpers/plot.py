"""Figures of one style: small files, white ground, colours that colour-blind readers tell apart.

Every function but `show` returns a matplotlib Figure that may still be changed; `show` displays
it. Lines and bars use colours of Okabe and Ito's palette, never colour alone (line styles and
fills differ too). Anomaly maps use "inferno", which is perceptually uniform, rises in lightness
and so reads in grey as well.
"""

import base64
import io
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from helpers.data import ImageSet

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#767676"
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":")
HEAT = "inferno"
WIDTH = 8.9  # inches; 9 with the rim
SHOWN = 100  # pixels of a page to an inch
PHOTO_DPI, CHART_DPI = 160, 150  # pixels of the file to an inch: sharp on a dense screen
CHART_LIMIT, PHOTO_LIMIT = 60_000, 110_000  # bytes; only a gallery needs more than a chart
MASK_COLOUR = "#00D0F0"  # on grey images and on inferno alike


def show(fig: "Figure", *, photo: bool = False) -> None:
    """Display a figure as one small PNG or JPEG and close it; outside IPython only close it.

    The file has more pixels than the page shows, whose width stands in the output's metadata. A
    chart becomes a PNG of 256 colours, a photo grid a JPEG of quality 80. A chart larger than
    60 KB or photographs larger than 110 KB are encoded again as a JPEG of lower quality, at last
    of a smaller size.

    Args:
        fig: the figure. Its title, or that of its first titled axes, is the text alternative.
        photo: True for figures that consist of photographs or heat maps.
    """
    from IPython import get_ipython
    from IPython.display import display

    try:
        if get_ipython() is not None:
            kind, data, width = encode(fig, photo=photo)
            content = {
                kind: base64.b64encode(data).decode(),
                "text/plain": f"<figure: {_name(fig)}>",
            }
            display(content, raw=True, metadata={kind: {"width": width}})
    finally:
        if "matplotlib.pyplot" in sys.modules:  # only pyplot keeps figures open
            sys.modules["matplotlib.pyplot"].close(fig)


def encode(fig: "Figure", *, photo: bool = False) -> tuple[str, bytes, int]:
    """Draw a figure and encode it as `show` does.

    Args:
        fig: the figure.
        photo: JPEG instead of PNG.

    Returns:
        The MIME type, ``image/png`` or ``image/jpeg``, the bytes of the file, and the width at
        which a page shows it, in CSS pixels.
    """
    from PIL import Image

    drawn = io.BytesIO()
    dpi, limit = (PHOTO_DPI, PHOTO_LIMIT) if photo else (CHART_DPI, CHART_LIMIT)
    with _style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # no font for a reader's folder name
        fig.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.08)
    image = Image.open(drawn).convert("RGB")
    for encoded in _encodings(image, photo):
        if len(encoded[1]) <= limit:
            break
    return *encoded, round(image.width * SHOWN / dpi)


def examples(test: "ImageSet") -> "Figure":
    """The first test image of each kind, at most four, with the outline of its mask.

    Args:
        test: one test image at least.

    Returns:
        The figure; display it with ``show(fig, photo=True)``.
    """
    some = [test.types.index(kind) for kind in dict.fromkeys(test.types)][:4]
    names = [test.types[i].replace("_", " ") for i in some]
    return grid(test.images[some], names, masks=test.masks[some], columns=4, title="Test images")


def grid(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    masks: np.ndarray | None = None,
    columns: int = 6,
    title: str | None = None,
) -> "Figure":
    """Images side by side, with the outline of the mask where there is one.

    Args:
        images: (N, H, W, 3) or (N, H, W), uint8 or 0 to 1.
        titles: N short texts, one above each image.
        masks: (N, H, W) bool; what is True is outlined in light blue.
        columns: images in a row.
        title: above the whole figure.

    Returns:
        The figure; display it with ``show(fig, photo=True)``.

    Raises:
        ValueError: for no images, or another number of titles or masks.
    """
    n = len(images)
    if n == 0:
        raise ValueError("there are no images to show")
    for name, items in (("titles", titles), ("masks", masks)):
        if items is not None and len(items) != n:
            raise ValueError(f"{n} images need {n} {name}, found {len(items)}")
    columns = min(columns, n)
    rows = -(-n // columns)
    width = min(WIDTH, 1.75 * columns)
    tall = images[0].shape[0] / images[0].shape[1]
    height = rows * (width / columns * tall + (0.25 if titles is not None else 0))
    with _style():
        fig = _figure(width, height + (0.35 if title else 0), title)
        axes = fig.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes:
            ax.set_axis_off()
        for i, ax in enumerate(axes[:n]):
            _image(ax, images[i])
            _outline(ax, None if masks is None else masks[i])
            if titles is not None:
                ax.set_title(titles[i])
    return fig


def gallery(
    test: "ImageSet",
    maps: np.ndarray,
    *,
    index: Sequence[int] | None = None,
    title: str = "Anomaly maps",
) -> "Figure":
    """Image, ground truth, anomaly map and overlay, one column per image.

    All maps share one colour scale, from the 0.5 to the 99.5 percentile of all N maps, so that a
    quiet image looks quiet. The higher the map, the less of the image shines through the overlay.

    Args:
        test: N test images.
        maps: (N, H, W) finite anomaly maps.
        index: which images, at most 8; by default four, of as many types as possible.
        title: above the figure.

    Returns:
        The figure; display it with ``show(fig, photo=True)``.

    Raises:
        ValueError: if the maps have another shape than the masks, are not finite, or for an empty
            or too long index.
    """
    from matplotlib import colormaps

    maps = np.asarray(maps, dtype=np.float32)
    if maps.shape != test.masks.shape:
        raise ValueError(f"maps must have shape {test.masks.shape}, found {maps.shape}")
    if not np.isfinite(maps).all():
        raise ValueError("maps hold NaN or infinite values; they cannot be drawn")
    chosen = _of_each_type(test.types, 4) if index is None else [int(i) for i in index]
    if not 0 < len(chosen) <= 8:
        raise ValueError(f"a gallery shows 1 to 8 images, found {len(chosen)}")
    low, high = (float(v) for v in np.percentile(maps, (0.5, 99.5)))
    high = high if high > low else low + 1.0
    n = len(chosen)
    size = min(1.5, (WIDTH - 1 - 0.07 * (n - 1)) / n)  # inches, of one image
    inside = (size * n + 0.07 * (n - 1), 4 * size * maps.shape[1] / maps.shape[2] + 0.21)
    names = [test.types[i].replace("_", "\n") for i in chosen]
    lines = 1 + max(name.count("\n") for name in names)
    width, height = inside[0] + 1.0, inside[1] + 0.36 + 0.15 * lines
    with _style():
        fig = _figure(width, height, title, constrained=False)
        cells = fig.add_gridspec(
            4, n, left=0.27 / width, right=(0.27 + inside[0]) / width, bottom=0.03 / height,
            top=(0.03 + inside[1]) / height, wspace=0.07 / size, hspace=0.07 / size,
        )  # fmt: skip
        axes = cells.subplots(squeeze=False)
        for row, name in enumerate(("image", "ground truth", "anomaly map", "overlay")):
            axes[row, 0].set_ylabel(name)
        for column, i, name in zip(axes.T, chosen, names, strict=True):
            column[0].set_title(name, linespacing=0.95)
            _image(column[0], test.images[i])
            if test.has_mask[i]:
                _image(column[1], test.masks[i].astype(float))
            else:
                column[1].set_facecolor("#EEEEEE")
                middle = {"ha": "center", "va": "center", "transform": column[1].transAxes}
                column[1].text(0.5, 0.5, "no mask", **middle)
            drawn = column[2].imshow(maps[i], cmap=HEAT, vmin=low, vmax=high)
            heat = ((maps[i] - low) / (high - low)).clip(0, 1)
            opaque = 0.8 * heat[..., None] ** 2
            mixed = test.images[i] / 255 * (1 - opaque) + colormaps[HEAT](heat)[..., :3] * opaque
            _image(column[3], mixed.clip(0, 1))  # rounding may leave the range, with a warning
            _outline(column[3], test.masks[i])
        for ax in axes.flat:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row = axes[2, -1].get_position()
        scale = fig.add_axes((row.x1 + 0.08 / width, row.y0, 0.1 / width, row.height))
        bar = fig.colorbar(drawn, cax=scale, extend="both", extendfrac=0.04)
        bar.set_label("anomaly score")
        bar.outline.set_visible(False)
    return fig


def histogram(
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    threshold: float | None = None,
    title: str = "Image scores",
) -> "Figure":
    """How the image scores of normal and anomalous images are distributed, in common bins.

    Args:
        scores: (N,) finite numbers.
        labels: (N,) 0 normal, 1 anomalous; one class alone is fine.
        threshold: drawn as a vertical line.
        title: above the chart.

    Returns:
        The figure.

    Raises:
        ValueError: for empty or non-finite scores, or another number of labels.
    """
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape or scores.size == 0:
        raise ValueError(
            f"scores and labels must have the same shape (N,), found {scores.shape}, {labels.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values; they cannot be drawn")
    edges = np.histogram_bin_edges(scores, bins=30)
    with _style():
        fig, ax = _chart(6.0, 3.4, title, xlabel="image score", ylabel="images")
        for value, name, colour, hatch in ((0, "normal", BLUE, ""), (1, "anomalous", RED, "///")):
            mine = scores[labels == value]
            if mine.size:
                first, last = np.searchsorted(edges, (mine.min(), mine.max()), side="right")
                bins = edges[max(first - 1, 0) : last + 1]
                fill = {"color": colour + "40", "edgecolor": colour, "hatch": hatch}
                name = f"{name} ({mine.size})"
                ax.hist(mine, bins, histtype="stepfilled", linewidth=1.5, label=name, **fill)
        if threshold is not None:
            ax.axvline(threshold, color=BLACK, linestyle="--", label=f"threshold {threshold:.3g}")
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.grid(False, axis="x")
        ax.legend()
    return fig


def curve(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
) -> "Figure":
    """Lines over a common axis: a training loss, a sweep of a parameter.

    Args:
        lines: name to (x, y), two sequences of the same length. Up to 20 points are marked.
        xlabel: with unit.
        ylabel: with unit.
        title: above the chart; by default ``"<ylabel> over <xlabel>"``.

    Returns:
        The figure.

    Raises:
        ValueError: for x and y of different lengths.
    """
    with _style():
        fig, ax = _chart(6.0, 3.4, title or f"{ylabel} over {xlabel}", xlabel=xlabel, ylabel=ylabel)
        for number, (name, (x, y)) in enumerate(lines.items()):
            if len(x) != len(y):
                raise ValueError(f"{name}: {len(x)} values of x, but {len(y)} of y")
            marker = "o" if len(x) <= 20 else ""
            ax.plot(x, y, label=name, marker=marker, markersize=4, **_look(number))
        if len(lines) > 1:
            ax.legend()
    return fig


def _style() -> AbstractContextManager[None]:
    """Matplotlib's defaults with the book's sizes, whatever the reader's own settings are."""
    from matplotlib import font_manager, rc_context, rcParamsDefault

    # DejaVu comes with matplotlib; the others only for names of the reader's own folders.
    korean = ("Malgun Gothic", "Apple SD Gothic Neo", "NanumGothic", "Noto Sans CJK JP")
    there = set(font_manager.get_font_names())
    ours = {
        "font.family": ["DejaVu Sans", *(name for name in korean if name in there)],
        "font.size": 9.5,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9.5,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "figure.titlesize": 11,
        "figure.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#555555",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "grid.linewidth": 0.8,
        "lines.linewidth": 1.8,
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "image.interpolation": "antialiased",
    }
    return rc_context({k: v for k, v in rcParamsDefault.items() if k != "backend"} | ours)


def _figure(
    width: float, height: float, title: str | None, *, constrained: bool = True
) -> "Figure":
    from matplotlib.figure import Figure

    fig = Figure((width, height), dpi=SHOWN, layout="constrained" if constrained else "none")
    if constrained:
        fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0)
    if title:
        fig.suptitle(title, x=0.03 / width, ha="left", **({} if constrained else {"y": 1.0}))
    return fig


def _chart(
    width: float, height: float, title: str, *, xlabel: str, ylabel: str
) -> "tuple[Figure, Axes]":
    fig = _figure(width, height, None)
    ax = fig.subplots()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_title(title, fontsize=11, loc="left")
    return fig, ax


def _image(ax: "Axes", image: np.ndarray) -> None:
    top = 255 if np.asarray(image).dtype == np.uint8 else 1
    ax.imshow(image, cmap="gray", vmin=0, vmax=top)


def _outline(ax: "Axes", mask: np.ndarray | None) -> None:
    """A line around the mask, a little outside: what it marks stays visible."""
    from scipy.ndimage import distance_transform_edt

    if mask is None or not np.any(mask):
        return
    away = max(1.0, mask.shape[1] / 50)  # pixels
    height, width = mask.shape
    rim = int(away) + 2  # closes the line where the mask touches the border
    distance = distance_transform_edt(np.pad(~np.asarray(mask, bool), rim, constant_values=True))
    x, y = np.arange(-rim, width + rim), np.arange(-rim, height + rim)
    ax.contour(x, y, distance, levels=[away], colors=MASK_COLOUR, linewidths=1.0)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _of_each_type(types: Sequence[str], count: int) -> list[int]:
    """The first image of each type, then the second of each, ..., sorted by type."""
    kinds = list(dict.fromkeys(types))
    seen = dict.fromkeys(kinds, 0)
    turn = []
    for i, kind in enumerate(types):
        turn.append((seen[kind], kinds.index(kind), i))
        seen[kind] += 1
    return [i for _, _, i in sorted(sorted(turn)[:count], key=lambda t: (t[1], t[2]))]


def _look(number: int) -> dict[str, str]:
    return {
        "color": SERIES[number % len(SERIES)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def _name(fig: "Figure") -> str:
    titles = [fig.get_suptitle()]
    titles += [ax.get_title(loc) for ax in fig.axes for loc in ("left", "center", "right")]
    return next((" ".join(title.split()) for title in titles if title.strip()), "untitled")


def _encodings(image: "Image", photo: bool) -> Iterator[tuple[str, bytes]]:
    """From the best to the smallest."""
    out = io.BytesIO()
    if not photo:
        few = image.quantize(256, dither=0)
        few.save(out, "PNG", optimize=True)
        yield "image/png", out.getvalue()
    for quality, share in ((80, 1.0), (70, 1.0), (60, 1.0), (60, 0.75), (60, 0.5), (50, 0.4)):
        out = io.BytesIO()
        small = image.resize((round(image.width * share), round(image.height * share)))
        small.save(out, "JPEG", quality=quality, optimize=True)
        yield "image/jpeg", out.getvalue()
