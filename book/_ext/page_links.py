"""The line of links under a page's title, and the buttons that need the repository's address.

Review and notebook of a method share their name (`book/F/M`, `notebooks/F/M`), so the links between
them follow from it. Colab and repository buttons appear once `repository.url` in `_config.yml` is
real.
"""

from __future__ import annotations

from typing import Any

from constants import PLACEHOLDER
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

COLAB = "https://colab.research.google.com/github"
TEXTS = {
    "ko": {
        "review": "리뷰 읽기",
        "notebook": "노트북 보기",
        "colab": "Colab에서 실행하기",
        "download": "노트북 내려받기 (.ipynb)",
    },
    "en": {
        "review": "Read the review",
        "notebook": "See the notebook",
        "colab": "Run in Colab",
        "download": "Download the notebook (.ipynb)",
    },
}


def counterpart(docname: str) -> tuple[str, str] | None:
    """Return kind and document name of a page's partner, or None for a page that has none."""
    room, _, method = docname.partition("/")
    if method.count("/") != 1:
        return None
    return {
        "book": ("notebook", f"notebooks/{method}"),
        "notebooks": ("review", f"book/{method}"),
    }.get(room)


def repository(config: Config) -> tuple[str, str] | None:
    """Return the repository's address and branch, or None while the placeholder stands."""
    options = config.html_theme_options
    url = options.get("repository_url", "").rstrip("/").removesuffix(".git")
    return None if url in ("", PLACEHOLDER) else (url, options.get("repository_branch") or "main")


def colab_url(config: Config, docname: str) -> str | None:
    """Return where Colab opens a notebook, or None while the repository is unknown."""
    known = repository(config)
    if known is None:
        return None
    url, branch = known
    return f"{COLAB}/{'/'.join(url.split('/')[-2:])}/blob/{branch}/{docname}.ipynb"


class PageLinks(SphinxTransform):
    """Insert the line of links after the title."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Add the links that this page has."""
        docname, texts = self.env.docname, TEXTS[self.config.language]
        title = next(self.document.findall(nodes.title), None)
        if title is None:
            return
        links: list[nodes.Element] = []
        partner = counterpart(docname)
        if partner and partner[1] in self.env.found_docs:
            link = addnodes.pending_xref(
                refdomain="std",
                reftype="doc",
                reftarget=f"/{partner[1]}",
                refexplicit=True,
                refwarn=True,
                refdoc=docname,
            )
            link += nodes.inline(text=texts[partner[0]])
            links.append(link)
        if docname.startswith("notebooks/"):
            if url := colab_url(self.config, docname):
                links.append(nodes.reference(text=texts["colab"], refuri=url))
            target = f"/{docname}.ipynb"
            download = addnodes.download_reference(reftarget=target, refdoc=docname)
            download += nodes.inline(text=texts["download"])
            links.append(download)
        if links:
            row = nodes.bullet_list(classes=["page-links"])
            for link in links:
                row += nodes.list_item("", nodes.paragraph("", "", link))
            title.parent.insert(title.parent.index(title) + 1, row)


def repository_buttons(app: Sphinx, config: Config) -> None:
    """Show the theme's repository and edit buttons only when they lead somewhere."""
    known = repository(config) is not None
    config.html_theme_options["use_repository_button"] = known
    config.html_theme_options["use_edit_page_button"] = known


def setup(app: Sphinx) -> dict[str, Any]:
    """Register transform and event."""
    app.connect("config-inited", repository_buttons)
    app.add_transform(PageLinks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
