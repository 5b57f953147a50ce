"""``{threshold-figure}``: a slider moves the threshold over a notebook's stored score maps.

The argument is the notebook; the body is the caption. Test images with what the threshold marks in
them, false alarms, misses and the point on the ROC curve move together, in the browser and from a
folder too: the maps are pictures, and an SVG filter shows of them what lies above the threshold.
Without script the page shows the notebook's own threshold.
"""

import base64
import io
import json
from bisect import bisect_left, bisect_right
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

import records
import stored_figures
from docutils import nodes
from PIL import Image, ImageChops, ImageFilter
from sphinx.application import Sphinx

from directives.drawing import html, paragraph
from directives.stored_figure import StoredFigure

OUTLINE = (0, 208, 240)  # of the masks, as in the notebooks' figures
TOP = 255  # the highest level of a map
SIDE, LEFT, BELOW = 190, 44, 40  # of the ROC curve and its margins, in units of the drawing


class Steps(NamedTuple):
    """What each place of the slider decides, from the lowest threshold to the highest."""

    thresholds: list[float]  # each score, and the notebook's threshold; at first below all
    alarms: list[int]  # good images above the threshold
    found: list[int]  # defective images above it
    good: int  # images of each kind
    defective: int
    start: int  # the place of the notebook's threshold


def steps(maps: dict[str, Any]) -> Steps:
    """Every decision that a threshold on these scores can make.

    Args:
        maps: as `helpers.thumbnails` describes them.
    """
    scores = [float(score) for score in maps["scores"].split()]
    good, bad = (
        sorted(score for score, kind in zip(scores, maps["labels"], strict=True) if kind == label)
        for label in "01"
    )
    places = [float("-inf"), *sorted({*scores, maps["threshold"]})]
    return Steps(
        places,
        [len(good) - bisect_right(good, t) for t in places],
        [len(bad) - bisect_right(bad, t) for t in places],
        len(good),
        len(bad),
        places.index(maps["threshold"]),
    )


def level(alarms: int, good: int) -> int:
    """The lowest level that is marked where so many of the good images are flagged."""
    return (good - alarms) * TOP // good


def tiles(maps: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """For each image shown: its photograph with the mask outlined (JPEG), and its map (PNG)."""
    photos, masks, levels = (
        Image.open(io.BytesIO(base64.b64decode(maps[name])))
        for name in ("photos", "masks", "levels")
    )
    found, side = [], photos.height
    for left in range(0, photos.width, side):
        box = (left, 0, left + side, side)
        photo = (
            photos.crop(box).convert("RGB").resize((2 * side, 2 * side), Image.Resampling.BICUBIC)
        )
        mask = masks.crop(box).convert("L").resize(photo.size, Image.Resampling.NEAREST)
        around = ImageChops.subtract(mask.filter(ImageFilter.MaxFilter(5)), mask)
        photo.paste(OUTLINE, mask=around)
        found.append((_file(photo, "JPEG", quality=85), _file(levels.crop(box), "PNG")))
    return found


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


class ThresholdFigure(StoredFigure):
    """The images, the slider and the curve, with caption, origin and credit."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Draw the figure; say so where the notebook has kept no maps yet."""
        method = self.find(self.arguments[0])
        maps = (records.report(self.pieces(method)) or {}).get("maps")
        if not maps:
            return [paragraph(self.say("no maps"), classes=["book-note"])]
        every = steps(maps)
        self.mark = f"threshold-{self.env.new_serialno('threshold-figure')}"
        out = nodes.figure(classes=["book-figure", "book-stored", "book-threshold"])
        out += html(self.opening(every))
        out += self.images(maps, every)
        out += [html(self.curve(every)), html("</div>")]
        return self.framed(out, method.id, "result")

    def opening(self, every: Steps) -> str:
        """The filter, the slider, and what the threshold decides in words and numbers."""
        words = ("false alarm", "passed", "found it", "missed")
        data = {
            "thresholds": [_number(t) for t in every.thresholds],
            "alarms": every.alarms,
            "found": every.found,
            "good": every.good,
            "defective": every.defective,
            "words": [self.say(word) for word in words],
            "summary": self.say("decided"),
        }
        marked = level(every.alarms[every.start], every.good)
        name = self.mark
        return (
            f'<svg class="book-threshold-filter" width="0" height="0" aria-hidden="true">'
            f'<filter id="{name}-marked" color-interpolation-filters="sRGB" x="0" y="0" width="1" '
            'height="1"><feColorMatrix values="0 0 0 0 .84 0 0 0 0 .27 0 0 0 0 0 1 0 0 0 0"/>'
            f'<feComponentTransfer><feFuncA type="linear" slope="{2 * TOP}" '
            f'intercept="{1 - 2 * marked}"/></feComponentTransfer></filter></svg>'
            f"<div class=\"book-threshold-body\" data-steps='{escape(json.dumps(data))}'>"
            f'<p class="book-threshold-control" hidden><label for="{name}">'
            f"{escape(self.say('move threshold'))}</label>"
            f'<input type="range" id="{name}" min="0" max="{len(every.thresholds) - 1}" '
            f'value="{every.start}" autocomplete="off"></p>'
            f'<p class="book-threshold-summary">{escape(self.summary(every))}</p>'
        )

    def summary(self, every: Steps) -> str:
        """The decisions at the notebook's threshold, in the words that the script fills too."""
        alarms, found = every.alarms[every.start], every.found[every.start]
        blanks = (
            _number(every.thresholds[every.start]),
            alarms,
            every.good,
            every.defective - found,
            every.defective,
        )
        return self.say("decided", *blanks)

    def images(self, maps: dict[str, Any], every: Steps) -> list[nodes.Node]:
        """The images by kind, each with the verdict on it."""
        out: list[nodes.Node] = [html('<div class="book-threshold-images">')]
        shown = zip(maps["shown"], tiles(maps), strict=True)
        for kind, group in groupby(shown, lambda pair: _kind(pair[0])):
            title = escape(self.say(f"shown {kind}"))
            out.append(html(f'<p class="book-threshold-kind">{title}</p><ul aria-label="{title}">'))
            for image, (photo, levels) in group:
                below = bisect_left(every.thresholds, image["score"])  # places that flag it
                flagged = every.start < below
                verdict = ("missed", "found it") if image["label"] else ("passed", "false alarm")
                right = flagged == bool(image["label"])
                name = self.call(image["type"].replace("_", " "))
                alt = f"{self.say(f'shown {kind}')}: {name}, {_number(image['score'], 3)}"
                about = f'data-below="{below}" data-label="{image["label"]}"'
                out += [
                    html(f'<li {about} class="{"right" if right else "wrong"}"><span>'),
                    self.picture(_photo(photo), alt=alt, classes=["dark-light"]),
                    html(
                        f'<img class="dark-light" alt="" style="filter: url(#{self.mark}-marked)" '
                        f'src="data:image/png;base64,{base64.b64encode(levels).decode()}">'
                        f"</span><b>{escape(self.say(verdict[flagged]))}</b> "
                        f"<i>{_number(image['score'], 3)}</i></li>"
                    ),
                ]
            out.append(html("</ul>"))
        return [*out, html("</div>")]

    def curve(self, every: Steps) -> str:
        """The ROC curve with the point of the notebook's threshold."""

        def place(i: int) -> tuple[float, float]:
            right, up = every.alarms[i] / every.good, every.found[i] / every.defective
            return LEFT + SIDE * right, 8 + SIDE * (1 - up)

        points = " ".join("{:.1f},{:.1f}".format(*place(i)) for i in range(len(every.thresholds)))
        x, y = place(every.start)
        bottom, right = 8 + SIDE, LEFT + SIDE
        parts = [
            f'<rect class="axis" x="{LEFT}" y="8" width="{SIDE}" height="{SIDE}"/>',
            f'<line class="chance" x1="{LEFT}" y1="{bottom}" x2="{right}" y2="8"/>',
        ]
        for share, text in ((0, "0"), (0.5, "0.5"), (1, "1")):
            at = LEFT + SIDE * share
            parts.append(f'<text x="{at}" y="{bottom + 15}" text-anchor="middle">{text}</text>')
            at = bottom - SIDE * share + 4
            parts.append(f'<text x="{LEFT - 6}" y="{at}" text-anchor="end">{text}</text>')
        middle, half = LEFT + SIDE / 2, 8 + SIDE / 2
        parts += [
            f'<text x="{middle}" y="{bottom + 31}" text-anchor="middle">'
            f"{escape(self.say('false alarm rate'))}</text>",
            f'<text x="12" y="{half}" text-anchor="middle" transform="rotate(-90 12 {half})">'
            f"{escape(self.say('found rate'))}</text>",
            f'<polyline points="{points}"/>',
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>',
        ]
        box = f"0 0 {right + 10} {bottom + BELOW}"
        label = escape(self.say("roc"))
        return (
            f'<svg class="book-threshold-roc" viewBox="{box}" role="img" aria-label="{label}" '
            f'data-left="{LEFT}" data-top="8" data-side="{SIDE}">{"".join(parts)}</svg>'
        )


def _kind(image: dict[str, Any]) -> str:
    if not image["label"]:
        return "good"
    return "rendered" if image["rendered"] else "defective"


def _photo(data: bytes) -> stored_figures.Figure:
    return stored_figures.Figure("", {}, "image/jpeg", data, None)


def _number(value: float, digits: int = 4) -> str:
    """So many digits at least, for scores of any size."""
    if value == float("-inf"):
        return "−∞"
    text = f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", "−")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("threshold-figure", ThresholdFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
