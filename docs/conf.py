"""How Sphinx builds the site: `bash scripts/site.sh`, which generates the pages that are not files of this folder."""

from __future__ import annotations

import initsuite

project = "initsuite"
author = "The initsuite developers"
release = version = initsuite.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["files"]

html_theme = "furo"
html_title = "initsuite"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = html_show_sphinx = False
html_sourcelink_suffix = ""

myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests execute the notebooks, and compare what is kept in them
default_role = "literal"  # what docstrings put in single backticks
highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_rtype = False
linkcheck_timeout = 20
