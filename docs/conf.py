"""Sphinx's settings for the course site, which `docs/build_site.py` builds."""

from diffusion_lab import __version__
from diffusion_lab.instructor.published import REPOSITORY

project, version = "Diffusion Lab", __version__
author = copyright = "The Diffusion Lab contributors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # they would come from another host
mathjax_path = "mathjax/tex-svg.js"
html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "favicon.svg"
templates_path = ["_templates"]
html_context = {"default_mode": "auto"}
default_role = "code"
html_css_files = ["figures.css"]
html_js_files = [("figures.js", {"defer": "defer"})]
html_theme_options = {
    "repository_url": f"https://github.com/{REPOSITORY}",
    "repository_branch": "main",
    "use_download_button": True,
    "use_repository_button": True,
    "launch_buttons": {
        "colab_url": "https://colab.research.google.com",
        "binderhub_url": "https://mybinder.org",
    },
    "show_toc_level": 2,
    "navbar_start": [],
    "navbar_end": [],
    "navbar_persistent": [],
}
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"


def setup(app):
    app.connect("html-page-context", remove_binder, priority=502)  # the theme's buttons: 501


def remove_binder(app, pagename, templatename, context, doctree):
    """Leaves the button for Binder, which has 2 GB of memory, to the labs that fit into it."""
    if pagename in ("notebooks/02_forward_process", "notebooks/03_schedules"):
        return
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            group["buttons"] = [one for one in group["buttons"] if one.get("text") != "Binder"]
