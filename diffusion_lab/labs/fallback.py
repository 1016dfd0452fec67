"""Widgets that a page without a kernel, such as GitHub, shows as text, HTML or a picture."""

import ipywidgets


class WithFallback(ipywidgets.VBox):
    """A box of widgets; subclasses say what other pages show.

    It is displayed in the way of ipywidgets 8 also with ipywidgets 7, which Colab has.
    """

    _ipython_display_ = None  # ipywidgets 7 would show the widget alone

    def fallback(self):
        """Returns (data, metadata) by MIME type, for pages that cannot show the widget."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **keywords):
        data, metadata = self.fallback()
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"application/vnd.jupyter.widget-view+json": view} | data, metadata
