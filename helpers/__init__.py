"""What the notebooks of the book share: data, backbones, metrics, figures, reports, checks.

The method of a paper is never here; it stands in the paper's notebook.
"""

__version__ = "0.1.0"
