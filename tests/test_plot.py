"""helpers.plot: small files that decode, stable text, legible type, one colour scale."""

import base64
import dataclasses
import io
import re
import warnings
from pathlib import Path

import elpv_dataset
import numpy as np
import pytest
from matplotlib import pyplot, rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from scipy.ndimage import gaussian_filter

from helpers import plot
from helpers.data import ImageSet

LARGEST = {"image/png": 60_000, "image/jpeg": 110_000}  # bytes
TYPES = ("good", "defective", "crack", "scratch", "stain", "finger_interruption")


@pytest.fixture(scope="module")
def cells() -> ImageSet:
    """Twelve real cells at 256 pixels; of each six, the last four are given a mask."""
    folder = Path(elpv_dataset.__file__).parent / "data" / "images"
    images = []
    for path in sorted(folder.glob("*.png"))[:600:50]:
        cell = Image.open(path).convert("RGB").resize((256, 256))
        images.append(np.asarray(cell))
    masks = np.zeros((12, 256, 256), bool)
    for i in range(12):
        if i % 6 > 1:
            masks[i, 40 * (i % 6) - 40 :, 200:203] = True  # reaches the border
    return ImageSet(
        images=np.stack(images),
        labels=np.array([int(i % 6 > 0) for i in range(12)]),
        masks=masks,
        has_mask=np.array([i % 6 != 1 for i in range(12)]),
        rendered=np.array([i % 6 > 1 for i in range(12)]),
        types=TYPES * 2,
        paths=tuple(f"{i}.png" for i in range(12)),
        name="cells",
        license="CC BY-NC-SA 4.0",
        fingerprint="0" * 12,
    )


@pytest.fixture(scope="module")
def maps(cells) -> np.ndarray:
    """Smoothed noise with bumps on the masks, as a method would give them."""
    rng = np.random.default_rng(0)
    noise = [gaussian_filter(rng.normal(size=(256, 256)), 12) * 12 for _ in range(12)]
    return np.stack(noise) + 2.0 * cells.masks


@pytest.fixture
def shown(monkeypatch):
    """Displays instead of a notebook; the list of what was displayed."""
    pyplot.close(pyplot.figure())  # pyplot looks for IPython when it makes its first figure
    outputs = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw, metadata: outputs.append((data, metadata))
    )
    return outputs


@pytest.fixture(scope="module")
def every_figure(cells, maps):
    """Name to (figure, is it a photo grid)."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    scores = rng.normal(size=200) + labels
    steps = np.arange(300)
    loss = np.exp(-steps / 60) + 0.05 * rng.random(300)
    return {
        "grid": (plot.grid(cells.images, TYPES * 2, masks=cells.masks, title="Cells"), True),
        "gallery": (plot.gallery(cells, maps), True),
        "gallery of one": (plot.gallery(cells, maps, index=[2]), True),
        "gallery of eight": (plot.gallery(cells, maps, index=range(8)), True),
        "histogram": (plot.histogram(scores, labels, threshold=1.6), False),
        "one class": (plot.histogram(scores[:100], labels[:100]), False),
        "examples": (plot.examples(cells), True),
        "curve": (plot.curve({"train": (steps, loss)}, xlabel="step", ylabel="loss"), False),
    }


def test_every_figure_is_a_small_file_that_decodes_and_fits_the_page(every_figure):
    for name, (fig, photo) in every_figure.items():
        kind, data, width = plot.encode(fig, photo=photo)
        assert kind == ("image/jpeg" if photo else "image/png"), name
        assert len(data) <= LARGEST[kind], name
        image = Image.open(io.BytesIO(data))
        image.load()
        assert image.format == kind.removeprefix("image/").upper(), name
        assert 200 <= width <= 910, name
        assert image.width >= 1.49 * width, f"{name} is blurred on a dense screen"
        corner = image.convert("RGB").getpixel((0, 0))
        assert min(corner) >= (248 if photo else 255), name  # JPEG rounds, the more the smaller


def test_the_same_figure_has_the_same_bytes(cells, maps):
    first, second = (
        plot.encode(plot.gallery(cells, maps, index=[1, 2]), photo=True) for _ in range(2)
    )
    assert first == second


def drawn_texts(fig: Figure) -> list[Text]:
    """All texts of a figure but the tick labels that matplotlib keeps and does not draw."""
    ticks = set()
    for axis in (axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not axis.axes.axison or not low <= tick.get_loc() <= high:
                ticks |= {tick.label1, tick.label2}
    found = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return [text for text in found if text not in ticks]


def test_no_text_is_smaller_than_nine_points_or_cut_off_or_in_korean(every_figure):
    for name, (fig, _) in every_figure.items():
        fig.draw_without_rendering()
        texts = drawn_texts(fig)
        assert texts, name
        for text in texts:
            assert text.get_fontsize() >= 9, (name, text.get_text())
            assert not re.search("[가-힣]", text.get_text()), name
            box = text.get_window_extent()
            assert box.x0 >= -1, (name, text.get_text())
            assert box.x1 <= fig.bbox.x1 + 1, (name, text.get_text())
            assert box.y0 >= -1, (name, text.get_text())
            assert box.y1 <= fig.bbox.y1 + 1, (name, text.get_text())


def test_show_displays_one_image_with_a_stable_text_and_closes_the_figure(cells, shown):
    fig, ax = pyplot.subplots()
    ax.set_title("Left over", loc="left")
    assert plot.show(fig) is None
    assert not pyplot.get_fignums()
    plot.show(plot.grid(cells.images[:2], ["a", "b"], title="Two\ncells"), photo=True)
    plot.show(Figure())
    assert [sorted(data) for data, _ in shown] == [
        ["image/png", "text/plain"],
        ["image/jpeg", "text/plain"],
        ["image/png", "text/plain"],
    ]
    texts = [data["text/plain"] for data, _ in shown]
    assert texts == ["<figure: Left over>", "<figure: Two cells>", "<figure: untitled>"]
    data, metadata = shown[1]
    image = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])))
    assert image.format == "JPEG"
    assert metadata == {"image/jpeg": {"width": round(image.width * plot.SHOWN / plot.PHOTO_DPI)}}


def test_outside_ipython_show_is_quiet_and_still_closes_the_figure(capsys):
    fig, _ = pyplot.subplots()
    plot.show(fig)
    assert not pyplot.get_fignums()
    assert capsys.readouterr().out == ""


def test_even_noise_stays_within_the_limits():
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    kind, data, _ = plot.encode(plot.grid(noise), photo=True)
    assert kind == "image/jpeg"
    assert len(data) <= LARGEST["image/jpeg"]
    kind, data, _ = plot.encode(plot.grid(noise), photo=False)
    assert len(data) <= LARGEST["image/png"]  # a chart that is none is encoded as a photograph


def test_a_gallery_shows_each_type_once_with_one_colour_scale(cells, maps):
    fig = plot.gallery(cells, maps, index=range(6))
    axes = np.array(fig.axes[:24]).reshape(4, 6)
    assert [ax.get_title().replace("\n", "_") for ax in axes[0]] == list(TYPES)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == [
        "image",
        "ground truth",
        "anomaly map",
        "overlay",
    ]
    scale = tuple(np.percentile(maps, (0.5, 99.5)))
    for ax in axes[2]:
        assert ax.images[0].get_clim() == pytest.approx(scale)
        assert ax.images[0].get_cmap().name == "inferno"
    assert np.array_equal(axes[2, 3].images[0].get_array(), maps[3].astype(np.float32))
    assert [[t.get_text() for t in ax.texts] for ax in axes[1]] == [[], ["no mask"], [], [], [], []]
    outlined = [bool(ax.collections) for ax in axes[3]]
    assert outlined == [False, False, True, True, True, True]


def test_a_gallery_of_a_part_on_a_white_background_is_drawn_without_a_warning(cells, maps, caplog):
    white = dataclasses.replace(cells, images=np.full_like(cells.images, 255))
    plot.encode(plot.gallery(white, maps), photo=True)
    assert not caplog.records


def test_the_default_gallery_takes_turns_among_the_types(cells, maps):
    fig = plot.gallery(cells, maps)
    titles = [ax.get_title().replace("\n", "_") for ax in fig.axes[:4]]
    assert titles == list(TYPES[:4])
    assert plot._of_each_type(("good",) * 4 + ("a",) * 3 + ("b",), 6) == [0, 1, 2, 4, 5, 7]
    assert plot._of_each_type(("good",) * 9, 6) == [0, 1, 2, 3, 4, 5]
    assert plot._of_each_type(("b", "a"), 6) == [0, 1]


def test_the_outline_runs_around_the_mask_and_not_over_it(cells):
    mask = np.zeros((256, 256), bool)
    mask[100:140, 100:103] = True
    ax = plot.grid(cells.images[:1], masks=mask[None]).axes[0]
    line = ax.collections[0].get_paths()[0].vertices
    assert ((line[:, 0] < 97) | (line[:, 0] > 105) | (line[:, 1] < 97) | (line[:, 1] > 142)).all()
    assert (line.min(axis=0) > 90).all()


def test_a_constant_map_and_one_image_alone_can_be_drawn(cells):
    one = cells.select([0])
    assert plot.encode(plot.gallery(one, np.zeros((1, 256, 256))), photo=True)[1]
    assert plot.encode(plot.grid(one.images[..., 0]), photo=True)[1]


def test_names_of_the_readers_own_folders_raise_no_warning(cells, maps):
    from dataclasses import replace

    own = replace(cells, types=("양품", "불량 1", *cells.types[2:]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.encode(plot.gallery(own, maps, index=[0, 1]), photo=True)


def test_the_readers_own_settings_do_not_change_the_figures(cells):
    data = ([0, 1, 2, 3], [0, 0, 1, 1])
    before = plot.encode(plot.histogram(*data))
    with rc_context({"axes.facecolor": "black", "font.size": 20, "savefig.facecolor": "black"}):
        assert plot.encode(plot.histogram(*data)) == before


def test_lines_differ_in_more_than_colour():
    several = {str(i): ([0, 1], [i, i]) for i in range(4)}
    lines = plot.curve(several, xlabel="x", ylabel="y").axes[0].lines
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_linestyle() for line in lines}) == 4


def test_examples_are_the_first_of_each_kind_with_their_masks(cells):
    fig = plot.examples(cells)
    assert fig.get_suptitle() == "Test images"
    assert [ax.get_title() for ax in fig.axes] == ["good", "defective", "crack", "scratch"]
    assert [bool(ax.collections) for ax in fig.axes] == [False, False, True, True]
    for i, ax in enumerate(fig.axes):
        assert np.array_equal(ax.images[0].get_array(), cells.images[i])
    only_good = plot.examples(cells.select([0, 6]))
    assert [ax.get_title() for ax in only_good.axes] == ["good"]


def test_the_histogram_counts_every_image_in_common_bins():
    scores, labels = np.array([0.0, 0.1, 0.2, 5.0, 5.0, 3.0]), np.array([0, 0, 0, 0, 1, 1])
    ax = plot.histogram(scores, labels, threshold=0.25).axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "normal (4)",
        "anomalous (2)",
        "threshold 0.25",
    ]
    for patch, count in zip(ax.patches, (4, 2), strict=True):
        x, y = patch.get_xy()[:, 0], patch.get_xy()[:, 1]
        area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
        assert area == pytest.approx(count * 5 / 30)


def test_what_cannot_be_drawn_is_refused_with_what_was_found(cells, maps):
    with pytest.raises(ValueError, match="12 images need 12 titles, found 2"):
        plot.grid(cells.images, ["a", "b"])
    with pytest.raises(ValueError, match="12 images need 12 masks, found 3"):
        plot.grid(cells.images, masks=cells.masks[:3])
    with pytest.raises(ValueError, match="no images"):
        plot.grid(cells.images[:0])
    with pytest.raises(ValueError, match=r"shape \(12, 256, 256\), found \(12, 32, 32\)"):
        plot.gallery(cells, maps[:, ::8, ::8])
    with pytest.raises(ValueError, match="NaN or infinite"):
        plot.gallery(cells, np.full_like(maps, np.nan))
    with pytest.raises(ValueError, match="1 to 8 images, found 12"):
        plot.gallery(cells, maps, index=range(12))
    with pytest.raises(ValueError, match=r"found \(3,\), \(2,\)"):
        plot.histogram([0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match="NaN or infinite"):
        plot.histogram([0, np.inf], [0, 1])
    with pytest.raises(ValueError, match="train: 3 values of x, but 2 of y"):
        plot.curve({"train": ([0, 1, 2], [0, 1])}, xlabel="step", ylabel="loss")
