"""Settings of Sphinx: ``make docs`` builds the pages of this folder into docs/_build/html."""

import runpy
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).resolve().parent.parent

project = 'cct_mm'
author = 'the authors of cct_mm'
release = runpy.run_path(str(ROOT / 'cct_mm' / 'version.py'))['__version__']

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build', 'records']

# Links from page to page and to headings (page.md#heading), as on GitHub.
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
# Registered classes are what a config names; what they inherit stands in mmseg's and torch's docs.
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_numpy_docstring = False
napoleon_custom_sections = ['Shape']
# The attributes of a dataclass stand in its Args.
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'cct_mm {release}'
html_static_path = []
# Formulas as MathML, which browsers draw by themselves: the pages need no network.
html_math_renderer = 'mathml'


def visit_math(translator, node):
    """Write a formula, in a line or as a block of its own."""
    as_block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=as_block)
    # Furo lets wide blocks scroll; without room for tall signs they would scroll up and down, too.
    translator.body.append(
        f'<div style="padding: 0.5em 0">{formula}</div>' if as_block else formula
    )
    raise nodes.SkipNode


def setup(app):
    """Tell Sphinx how to write formulas."""
    app.add_html_math_renderer('mathml', (visit_math, None), (visit_math, None))
