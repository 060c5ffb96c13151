"""Settings of Sphinx, which makes the site. CONTRIBUTING.md has the command; `_ext/` holds what Sphinx lacks.

The pages are Markdown that reads well on GitHub, too. So links go to files, as GitHub wants them, and pictures are
`<picture>` elements; `_ext/repository.py` turns both into what the site needs.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import softmax_ext  # noqa: E402

project = "softmax_ext"
author = "the softmax_ext developers"
copyright = author
version = release = softmax_ext.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "repository",
    "mathml",
]
nitpicky = True
templates_path = ["_templates"]
exclude_patterns = ["_ext", "_static", "_templates", "pictures"]

# ---- Markdown --------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
# `python` blocks are Python; the others are left as they are.
highlight_language = "none"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# ---- the reference, from docstrings ----------------------------------------------------------------------------------

autosummary_generate = True
autosummary_generate_overwrite = True
autodoc_typehints = "none"  # the docstrings say more
# In docstrings, `softmax` is a link and `axis` is not.
default_role = "autolink"
numpydoc_show_class_members = False
add_module_names = False
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|scipy|dask|ml_dtypes)\..*")
]  # other projects, which are named and not linked

# ---- pages -----------------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"softmax_ext {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#a84700", "color-brand-content": "#a84700"},
    "dark_css_variables": {"color-brand-primary": "#ff9d57", "color-brand-content": "#ff9d57"},
}
