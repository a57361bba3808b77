"""How Sphinx builds the documentation: `make docs`, without a network."""

import lstmcli

project = "lstmcli"
author = "the lstmcli authors"
copyright = f"2026, {author}"
release = version = lstmcli.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

# Types are shown as they are written; those of other libraries are no links.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
maximum_signature_line_length = 79
nitpick_ignore_regex = [("py:.*", r".*")]

smartquotes_action = "qe"  # No dashes: `--device` stays as it is typed.

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_title = f"lstmcli {release}"
html_show_sphinx = False
html_copy_source = False
