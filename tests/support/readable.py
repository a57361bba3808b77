"""The lines and texts of figures as they would be drawn, and whether they can be read."""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def laid_out(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def lines(axes, label):
    [found] = [line for line in axes.lines if line.get_label() == label]
    return found


def texts(figure):
    """Every text that is shown, with its box."""
    renderer = figure.canvas.get_renderer()
    hidden = {id(text) for axes in figure.axes for text in unseen(axes)}
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [
        (each.get_text(), inked(each.get_text(), each.get_window_extent(renderer)))
        for each in found
        if each.get_text().strip() and id(each) not in hidden
    ]


def inked(text, box):
    """A box without the blank lines that hold room for something else."""
    line = box.height / (1 + text.count("\n"))
    above = len(text) - len(text.lstrip("\n"))
    below = len(text) - len(text.rstrip("\n"))
    return Bbox([[box.x0, box.y0 + below * line], [box.x1, box.y1 - above * line]])


def unseen(axes):
    """The labels of ticks that lie beyond an axis' limits: they are there, and not drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        margin = 1e-6 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not (axes.get_visible() and low - margin <= tick.get_loc() <= high + margin):
                yield tick.label1
            yield tick.label2


def assert_no_text_on_a_curve(axes):
    """No text that names a floor or a chance hides a point of the curves."""
    renderer = axes.figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in axes.texts]
    drawn = [line for line in axes.lines if line.get_transform() == axes.transData]
    assert drawn
    for line in drawn:
        points = axes.transData.transform(line.get_xydata())
        for text, box in boxes:
            assert not any(box.contains(*point) for point in points), (text, line.get_label())
            assert box.x0 >= axes.bbox.x1, text


def assert_no_legend_on_a_line(axes):
    """No legend stands within its axes, where a line may be."""
    if axes.get_legend():
        assert axes.get_legend().get_window_extent().y0 >= axes.bbox.y1


def assert_readable(figure):
    """No text leaves the canvas or lies on another, and none on a learning curve."""
    canvas, found = laid_out(figure).bbox, texts(figure)
    for axes in figure.findobj(Axes):
        if any(line.get_label() == "validation" for line in axes.lines):
            assert_no_text_on_a_curve(axes)
    for text, box in found:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= canvas.x1 + 1, text
        assert box.y1 <= canvas.y1 + 1, text
    for number, (text, box) in enumerate(found):
        for other, beside in found[:number]:
            wide = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            high = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert wide <= 1 or high <= 1, (text, other)


def panels(figure):
    """The panels of a figure's rows."""
    return [axes for axes in figure.axes if axes.get_ylabel().startswith("row")]
