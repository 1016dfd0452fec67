"""The explorer: a picture that follows its sliders and never blocks them."""

import io
import re
import threading
from base64 import b64encode
from collections import OrderedDict
from html import escape, unescape
from typing import NamedTuple

import ipywidgets
import numpy as np
from PIL import Image

from diffusion_lab.errors import OneSentence
from diffusion_lab.labs.compose import captioned
from diffusion_lab.labs.fallback import WithFallback
from diffusion_lab.labs.language import say
from diffusion_lab.plots import png_bytes

# The animation delays the sign a little, so that it does not flicker when pictures are fast.
BUSY = (
    "<style>@keyframes diffusion-lab-appear {from {visibility: hidden} to {visibility:"
    ' visible}}</style><b style="color:#b35900; animation: diffusion-lab-appear 0.15s step-end">● '
)
IDLE = "&nbsp;"  # keeps the line's height


class Frame(NamedTuple):
    """What an explorer shows at one position of its sliders."""

    png: bytes = b""
    readout: str = ""
    error: str = ""


class Explorer(WithFallback):
    """A picture, and sliders that change it.

    The first picture is rendered when the explorer is made. Later ones are rendered in one
    background thread, which always continues with the *newest* position and skips those that a
    moving slider has already left. Positions seen before are shown at once. If `render` fails, a
    red sentence says why, and the next position is tried as usual.

    Args:
        render: called as render(**values) with the values of all controls; returns a picture,
            uint8 (H, W, 3) or the bytes of a PNG file, or (picture, readout), where readout is a
            line of HTML. It must not use anything that other threads change.
        controls: {argument of render: `slider`, `choices`, `menu` or any widget with a hashable
            `value`}.
        caption: a sentence or two of plain text below the picture, shown also without a kernel.
        cache_size: number of pictures to keep.
    """

    def __init__(self, render, controls, caption, cache_size=128):
        self.render, self.controls = render, dict(controls)
        self.caption, self.cache_size = caption, cache_size
        self._cache = OrderedDict()  # position -> Frame, the most recently used last
        # guards the attributes below, and the cache
        self._state = threading.Condition(threading.RLock())
        self._wanted = None  # (request, position) that the worker takes next
        self._request = self._shown = 0  # numbers of the newest and of the shown request
        self._worker = None

        self.picture = ipywidgets.Image(
            format="png", layout={"max_width": "100%", "align_self": "flex-start"}
        )
        self.readout, self.busy, self.error = map(ipywidgets.HTML, ("", IDLE, ""))
        caption_line = ipywidgets.HTML(
            f'<div style="opacity: 0.75; line-height: 1.4">{escape(caption)}</div>'
        )
        for name in ("picture", "readout", "busy", "error"):
            getattr(self, name).add_class(f"diffusion-lab-{name}")
        for name, control in self.controls.items():
            control.add_class("diffusion-lab-slider").add_class(f"diffusion-lab-slider-{name}")
            control.observe(self._moved, names="value")
        self._show(0, self._frame(self._position()))
        super().__init__(
            [
                *self.controls.values(),
                ipywidgets.HBox([self.readout, self.busy]),
                self.picture,
                self.error,
                caption_line,
            ]
        )
        self.add_class("diffusion-lab-explorer")

    def wait(self, timeout=60.0):
        """Waits until nothing is being computed. True unless `timeout` seconds were too few."""
        with self._state:
            return self._state.wait_for(lambda: self._worker is None, timeout)

    def _position(self):
        """Returns the values of all controls.

        Rounding turns 0.30000000000000004, which a slider may return, into 0.3.
        """
        values = [control.value for control in self.controls.values()]
        return tuple(round(value, 6) if isinstance(value, float) else value for value in values)

    def _moved(self, change):
        with self._state:
            self._request += 1
            position = self._position()
            if position in self._cache:
                self._cache.move_to_end(position)
                self._wanted = None
                self._show(self._request, self._cache[position])
                return
            self._wanted = self._request, position
            self.busy.value = f"{BUSY}{say('computing …')}</b>"
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._work, name="diffusion-lab-explorer", daemon=True
                )
                self._worker.start()

    def _work(self):
        """Renders wanted positions until there are none."""
        while True:
            with self._state:
                if self._wanted is None:
                    self._worker = None
                    self._state.notify_all()
                    return
                (request, position), self._wanted = self._wanted, None
            frame = self._frame(position)
            with self._state:
                self._show(request, frame)

    def _frame(self, position):
        """Renders one position. Whatever goes wrong in `render` becomes a sentence."""
        try:
            result = self.render(**dict(zip(self.controls, position)))
            picture, readout = result if isinstance(result, tuple) else (result, "")
            frame = Frame(picture if isinstance(picture, bytes) else png_bytes(picture), readout)
        except Exception as error:
            return Frame(error=explanation(error))
        with self._state:
            self._cache[position] = frame
            while len(self._cache) > self.cache_size:
                self._cache.popitem(last=False)
        return frame

    def _show(self, request, frame):
        """Shows the frame of a request, unless that of a later request is shown already."""
        if request < self._shown:
            return
        self._shown = request
        if frame.png:
            self.picture.value = frame.png
        self.readout.value = frame.readout
        self.error.value = (
            f'<b style="color: #c62828">✗ {escape(frame.error)}</b>' if frame.error else ""
        )
        if request == self._request:
            self.busy.value = IDLE

    def fallback(self):
        """Returns the picture with its caption; ipympl does the same."""
        words = "\n".join(filter(None, [self.caption, without_tags(self.error.value)]))
        data, metadata = {"text/plain": words}, {}
        if self.picture.value:
            hint = say(
                "A still picture. Run this cell in Jupyter to move {controls}.",
                controls=say(" and ").join(
                    filter(None, [", ".join(self._labels()[:-1]), *self._labels()[-1:]])
                ),
            )
            paragraphs = [without_tags(self.readout.value), self.caption, hint]
            still = captioned(
                np.asarray(Image.open(io.BytesIO(self.picture.value)).convert("RGB")), paragraphs
            )
            data["image/png"] = b64encode(png_bytes(still)).decode()
            metadata["image/png"] = {"alt": self.caption}
        return data, metadata

    def _labels(self):
        return [control.description.rstrip(": ") for control in self.controls.values()]


def without_tags(html):
    """Returns HTML without its tags."""
    return unescape(re.sub("<.*?>", "", html)).strip()


def explanation(error):
    """Returns the sentence that a student reads about an exception, instead of a stack trace."""
    if isinstance(error, OneSentence):
        return str(error)
    if isinstance(error, NotImplementedError):
        return say("This picture needs an answer that is still missing. {error}", error=error)
    reason = (str(error).strip().splitlines() or ["no message"])[0]
    return say(
        "This picture could not be drawn. {error}",
        error=f"{type(error).__name__}: {reason[:200]}",
    )
