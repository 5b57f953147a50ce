"""What the front page shows first: ``{front-maps}`` and ``{front-numbers}``."""

from collections import Counter
from statistics import mean
from typing import Any

import records
import registry
import stored_figures
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import inline, paragraph

#: Where a gallery of the helpers has the photograph of the defective test cell, and its map.
PHOTO, MAP, COLUMN = 0, 2, 1
#: Verdicts on a claim that was tested.
VERDICTS = ("reproduced", "not at this scale", "undecided")


class FrontMaps(BookDirective):
    """One defective cell, and its anomaly map by each of the methods named in the body."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw a tile for the cell, from the first method's notebook, and one for each method."""
        methods = [self.find(name) for line in self.content for name in line.split()]
        galleries = [self.gallery(method) for method in methods]
        tiles = [self.tile(galleries[0][PHOTO], self.say("front photo"), [self.say("the image")])]
        for method, gallery in zip(methods, galleries, strict=True):
            name = method.title(self.language)
            caption = [self.to(method.review, name), inline(f" {method.year}", "book-year")]
            tiles.append(self.tile(gallery[MAP], self.say("front map", name), caption))
        out = nodes.bullet_list(classes=["book-front-maps"])
        out += tiles
        return [out]

    def gallery(self, method: registry.Method) -> list[stored_figures.Figure]:
        """The defective cell's column of the notebook's first gallery."""
        if not method.written:
            raise self.error(f"{self.name}: {method.id} is not written, so there is no map of it")
        for figure in self.figures(method):
            tiles = stored_figures.tiles(figure)
            if len(tiles) == 4:
                return [row[COLUMN] for row in tiles]
        raise self.error(f"{self.name}: the notebook of {method.id} shows no gallery")

    def tile(
        self, figure: stored_figures.Figure, alt: str, caption: list[nodes.Node | str]
    ) -> nodes.list_item:
        """A picture and what stands below it."""
        picture = self.picture(figure, alt=alt, classes=["dark-light"])  # needs no pale frame
        del picture["width"]  # the style sheet's
        return nodes.list_item("", picture, paragraph(*caption))


class FrontNumbers(BookDirective):
    """How many methods, how many claims and what came of them, how long a notebook runs."""

    def run(self) -> list[nodes.Node]:
        """Draw three numbers with their words."""
        known = self.load()
        written = known.written()
        verdicts = Counter[str]()
        for method in written:
            found = records.verdicts(self.pieces(method))
            verdicts.update(records.verdict(found[c.id]) for c in method.claims if c.id in found)
        tested = sum(verdicts[name] for name in VERDICTS)
        seconds = [s for m in written if (s := self.cost(m).get("seconds")) is not None]
        items = [
            ("count", len(written), "front methods", (len(known.methods) - len(written),)),
            ("count", tested, "front claims", [verdicts[name] for name in VERDICTS]),
        ]
        if seconds:
            items.append(("seconds", round(mean(seconds)), "front seconds", ()))
        out = nodes.bullet_list(classes=["book-front-numbers"])
        for unit, value, text, blanks in items:
            number = nodes.strong("", self.say(unit, value))
            out += nodes.list_item("", paragraph(number, " ", self.say(text, *blanks)))
        return [out]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("front-maps", FrontMaps)
    app.add_directive("front-numbers", FrontNumbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
