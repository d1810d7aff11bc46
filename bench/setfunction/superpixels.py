"""Superpixels: segments of one image that are alike in colour and place."""

from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int

COLOUR_COMPACTNESS = 10.0
"""Weight of the place against the colour, which goes from 0 to 100 in CIELAB."""

GREY_COMPACTNESS = 0.1
"""The same for grey values from 0 to 1."""


def check_superpixels(count: int, sides: tuple[int, ...]) -> None:
    """Raise `ValueError` where images of these sides can't be parted into `count` segments."""
    if find_spec("skimage") is None:
        raise ValueError("needs scikit-image: pip install 'earnest[images]'")
    if count > np.prod(sides):
        raise ValueError(f"an image of {' x '.join(map(str, sides))} pixels has fewer of them")


def superpixels(
    pixels: Float[np.ndarray, "channels height width"], count: int
) -> Int[np.ndarray, "height width"]:
    """The segment of each pixel, 0 to count - 1, numbered in reading order.

    SLIC gives about as many segments as it is asked for, so it is asked for more until it gives
    at least `count`. Then the smallest is merged with the neighbour whose mean colour is nearest
    until there are exactly so many. Where SLIC never gives enough, the largest is cut in half
    across its longer side. So all images have equally many features.

    References
    ----------
    Achanta, Shaji, Smith, Lucchi, Fua, Suesstrunk, *SLIC Superpixels Compared to State-of-the-Art
    Superpixel Methods*, IEEE TPAMI 34(11), 2012.
    """
    from skimage.segmentation import slic  # late: an extra, and slow to load

    image = pixels.transpose(1, 2, 0).astype(float)
    colour = len(pixels) == 3
    for asked in (count, 3 * count // 2, 2 * count, 3 * count):
        segments = slic(
            image,
            n_segments=asked,
            compactness=COLOUR_COMPACTNESS if colour else GREY_COMPACTNESS,
            convert2lab=colour,
            channel_axis=-1,
            start_label=0,
        )
        segments = _renumbered(segments.astype(np.int64))
        if segments.max() + 1 >= count:
            break
    while (sizes := np.bincount(segments.ravel())).size > count:
        segments = _merged(segments, image, int(sizes.argmin()))
    while (sizes := np.bincount(segments.ravel())).size < count:
        segments = _cut(segments, int(sizes.argmax()))
    return _renumbered(segments)


def _renumbered(segments: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Numbers without gaps, in the order in which segments are first met."""
    _, first, inverse = np.unique(segments, return_index=True, return_inverse=True)
    renumbered: np.ndarray = np.argsort(np.argsort(first))[inverse].reshape(segments.shape)
    return renumbered


def _merged(
    segments: Int[np.ndarray, "h w"], image: Float[np.ndarray, "h w c"], smallest: int
) -> Int[np.ndarray, "h w"]:
    inside = segments == smallest
    beside = np.zeros_like(inside)
    for axis in (0, 1):
        for step in (1, -1):
            moved = np.roll(inside, step, axis)
            # What leaves on one side doesn't come in on the other.
            np.moveaxis(moved, axis, 0)[0 if step == 1 else -1] = False
            beside |= moved
    colour = image[inside].mean(0)
    neighbours = np.unique(segments[beside & ~inside])
    means = np.stack([image[segments == other].mean(0) for other in neighbours])
    nearest = neighbours[((means - colour) ** 2).sum(1).argmin()]
    return _renumbered(np.where(inside, nearest, segments))


def _cut(segments: Int[np.ndarray, "h w"], largest: int) -> Int[np.ndarray, "h w"]:
    places = np.argwhere(segments == largest)
    longer = int(np.ptp(places, axis=0).argmax())
    order = np.lexsort((places[:, 1 - longer], places[:, longer]))
    cut = segments.copy()
    cut[tuple(places[order[len(order) // 2 :]].T)] = segments.max() + 1
    return cut
