"""What every notebook of the book shares: data, backbones, metrics, figures, reports, exercise checks.

The method of a paper is never here; it stands in the paper's notebook.
"""

__version__ = "0.1.0"
