"""``{method}`family/name` ``: a method's name in a text, a link once its review is written."""

import registry
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from directives.base import language_of, load, method_link


class MethodRole(SphinxRole):
    """Its text is the method's id."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Draw the name; an unknown id is an error of the page."""
        try:
            method = load(self.env, self.config).method(self.text.strip())
        except registry.RegistryError as error:
            return [], [self.inliner.reporter.error(f"method: {error}", line=self.lineno)]
        return [method_link(method, language_of(self.config), self.env.docname)], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the role."""
    app.add_role("method", MethodRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
