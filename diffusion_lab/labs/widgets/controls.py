"""The controls of an explorer: sliders and menus that look alike."""

import ipywidgets

# aligns the labels and shows them whole
STYLE = {"style": {"description_width": "210px"}, "layout": {"width": "min(600px, 100%)"}}


def slider(label, low, high, value, step):
    """Returns a slider for whole numbers or fractions, depending on `step`."""
    if isinstance(step, int):
        return ipywidgets.IntSlider(value, min=low, max=high, step=step, description=label, **STYLE)
    decimals = len(f"{step:.6f}".rstrip("0").partition(".")[2])
    return ipywidgets.FloatSlider(
        value,
        min=low,
        max=high,
        step=step,
        description=label,
        readout_format=f".{decimals}f",
        **STYLE,
    )


def choices(label, options, value):
    """Returns a slider over a few values."""
    return ipywidgets.SelectionSlider(options=options, value=value, description=label, **STYLE)


def menu(label, options):
    """Returns a drop-down menu of values or of {label: value}; the first is chosen."""
    return ipywidgets.Dropdown(options=options, description=label, **STYLE)
