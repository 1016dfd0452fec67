"""Sphinx's settings for the course site, which `docs/build_site.py` builds."""

from pathlib import Path

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


FIT_INTO_BINDER = ("notebooks/02_forward_process", "notebooks/03_schedules")  # it has 2 GB
CODESPACES = {
    "type": "link",
    "text": "Codespaces",
    "tooltip": "Launch on GitHub Codespaces",
    "icon": "fab fa-github",
    "url": f"https://codespaces.new/{REPOSITORY}",
}


def setup(app):
    app.connect("html-page-context", change_buttons, priority=502)  # the theme's buttons: 501


def change_buttons(app, pagename, templatename, context, doctree):
    """Changes the theme's buttons at the head of a lab.

    Codespaces is added, and Binder left out where its memory is too small. The download is the
    student's notebook instead of the page's source, which has live figures.
    """
    if not pagename.startswith("notebooks/"):
        return
    buttons = {group["label"]: group.get("buttons") for group in context["header_buttons"]}
    launch = buttons["launch-buttons"]
    if pagename not in FIT_INTO_BINDER:
        launch[:] = [one for one in launch if one["text"] != "Binder"]
    launch.append(CODESPACES)
    for one in buttons["download-buttons"]:
        if one["text"] == ".ipynb":
            one["url"] = f"{Path(pagename).name}.ipynb"  # next to the page
            one["tooltip"] = "Download the notebook"
