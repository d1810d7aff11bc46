"""How often detectors catch a fairwash, against one number of the setting."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.board.detection import POWER, TESTED, Caught, caught, detectors_of, wilson
from bench.board.fairwashing import Style, published, styled, without
from bench.board.figure_companion import of_each_data_set
from bench.board.panels import SOFT, Sketch, drawing, entitle, headed, left_out, legend, score
from bench.board.rows import number
from bench.board.rule_list import HELD
from bench.record import Record

FIGURES = 4
"""Problems drawn, each as a figure, at most."""
ACROSS = 3
"""Panels in a row at most."""
WIDTH, HEIGHT = 3.3, 2.6
"""Of a panel, in inches."""
SENTENCE = (
    "Share of audits in which what was published is called dishonest at 5 %, the thin line. "
    "Bands are Wilson's 95 % intervals of all audits together, faint dots the seeds."
)


class Family(NamedTuple):
    """Settings that differ in one number: their data set, model, and the setting without it."""

    dataset: str
    model: str
    key: str
    setting: str


def against_rate(records: Sequence[Record]) -> Iterator[Sketch]:
    """Rejections against the rate of positive decisions that a sample was given."""
    yield from _figures(
        published(records, "sample"),
        "rate",
        "rejections",
        "Rejections against the rate of positive decisions.",
        "rate of positive decisions (alpha)",
    )


def against_size(records: Sequence[Record]) -> Iterator[Sketch]:
    """Power against how many people a sample holds, or an auditor asks about."""
    yield from _figures(
        records, "audit_size", "power", "Power against sample size.", "people in an audit"
    )


def _figures(
    records: Sequence[Record], field: str, name: str, title: str, axis: str
) -> Iterator[Sketch]:
    """A figure for each data set, model and other setting where the field has several values."""
    groups = families([r for r in records if detectors_of([r])], field)
    first = [group[0] for group in groups.values()]
    kept, missing = of_each_data_set(first, FIGURES)
    drawn = [(family, group) for family, group in groups.items() if group[0] in kept]
    for i, (family, group) in enumerate(drawn):
        head = ", ".join(filter(None, [family.dataset, family.model, family.setting]))
        yield Sketch(
            name if not i else f"{name}_{i + 1}",
            title,
            f"{head}. {SENTENCE}{left_out(missing) if not i else ''}",
            _drawn(group, field, axis, headed(family.dataset, family.model)[0]),
        )


def families(records: Sequence[Record], field: str) -> dict[Family, list[Record]]:
    """Records that differ in `field`, where they have two numbers there or more."""
    groups: dict[Family, list[Record]] = {}
    for record in records:
        if math.isfinite(number(record.settings.get(field))):
            family = Family(record.dataset, record.model, *without(record, field))
            groups.setdefault(family, []).append(record)
    return {
        family: group
        for family, group in groups.items()
        if len({number(r.settings[field]) for r in group}) > 1
    }


def points(
    records: Sequence[Record], field: str, detector: str
) -> tuple[Float[np.ndarray, " n"], list[Caught]]:
    """Where one method was looked at, in order, and what the detector found there."""
    places = sorted({number(record.settings[field]) for record in records})
    found = {
        x: caught([r for r in records if number(r.settings[field]) == x], detector) for x in places
    }
    known = {x: one for x, one in found.items() if one}
    return np.array([*known]), [*known.values()]


def _drawn(group: Sequence[Record], field: str, axis: str, title: str) -> Drawing:
    """A panel for each detector, a line for each method."""
    detectors, styles = detectors_of(group), styled(group)
    across = min(ACROSS, len(detectors))
    rows = -(-len(detectors) // across)
    figure = drawing(WIDTH * across + 2.0, HEIGHT * rows + 0.6)
    panels = figure.subplots(rows, across, squeeze=False, sharey=True, sharex=True)
    for unused in panels.flat[len(detectors) :]:
        unused.set_axis_off()
    for place, (panel, detector) in enumerate(zip(panels.flat, detectors, strict=False)):
        entitle(panel, detector, HELD if place else title)
        _draw(panel, group, field, detector, styles)
        lowest = place + across >= len(detectors)
        panel.tick_params(labelbottom=lowest)
        panel.set(
            xlabel=axis if lowest else "",
            ylabel="share of audits" if place % across == 0 else "",
            ylim=(-0.03, 1.03),
        )
    legend(figure, panels.flat)
    return figure


def _draw(
    axes: Axes, group: Sequence[Record], field: str, detector: str, styles: Sequence[Style]
) -> None:
    axes.axhline(TESTED, color=SOFT, lw=0.8, zorder=0.9)
    for method, colour, dashes in styles:
        own = [r for r in group if r.method == method]
        x, found = points(own, field, detector)
        if found:
            rates = [one.power for one in found]
            axes.plot(x, rates, marker="o", color=colour, ls=dashes, lw=1.7, ms=4, label=method)
            low, high = np.array([wilson(one.power, one.audits) for one in found]).T
            axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0)
            seeds = [(number(r.settings[field]), score(r, f"{POWER}{detector}")) for r in own]
            axes.plot(*np.array(seeds).T, "o", color=colour, ms=2.5, mew=0, alpha=0.4)
