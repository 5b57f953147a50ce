"""Defects drawn on real normal images, with the exact mask of every pixel that belongs to them.

A rendered defect has what a real one of our default data has not: ground truth to the pixel. It is
no substitute for real defects: :mod:`helpers.metrics` uses it for pixel metrics only.

===========================  ===================================================================
kind                         what is drawn
===========================  ===================================================================
``"crack"``                  a thin jagged line that wanders, thins out and sometimes branches
``"scratch"``                one to three nearly straight, parallel, broken strokes
``"stain"``                  an irregular, mottled patch with a soft edge
``"finger_interruption"``    dark stripes beside each other, at right angles to the busbars of a
                             solar cell and between two of them, where the printed contact fingers
                             are broken and no current reaches the silicon
``"missing_busbar"``         one of three busbars is gone
``"doubled_busbar"``         one of three busbars stands a second time, where none belongs
``"swapped_half"``           the left and the right half of a cell have changed places
===========================  ===================================================================

The last three are *logical* anomalies: every part looks normal, what is where does not. They need a
solar cell with three horizontal busbars, see `three_busbars`. (Single fingers are too fine for
the resolution of our default data to be left out or doubled.)

A defect scales the light that the surface gives (its noise and texture stay visible under it), and
every length is a share of the image's shorter side. Where the object ends is not known here: on a
part before a background some defects fall on the background.
"""

import contextlib
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, median_filter
from scipy.signal import find_peaks
from scipy.spatial import cKDTree

KINDS = ("crack", "scratch", "stain", "finger_interruption")
LOGICAL_KINDS = ("missing_busbar", "doubled_busbar", "swapped_half")
BUSBARS = (0.175, 0.5, 0.825)
"""Where the busbars of the layout lie that logical anomalies need, as shares of the height."""
MIN_CONTRAST = 20.0
"""Least mean absolute difference of grey inside the mask, of 255 levels."""
VERSION = 1
"""Part of the data's fingerprint; raised whenever the same seed would draw something else."""
MIN_AREA, MAX_AREA = 0.002, 0.025
"""Smallest and largest share of the image that a defect covers."""

_FAINTEST = 0.2  # share of the strongest opacity below which a pixel is left as it was
_BLUR = 0.003  # a camera's blur, as a share of the side: nothing drawn is sharper than a photograph
_STRONGEST = 0.92  # no defect takes all the light
_TRIES = 60


def render(
    image: np.ndarray, kind: str, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one defect on a normal image.

    Args:
        image: uint8 (H, W, 3), H and W at least 32; it is not changed.
        kind: one of ``KINDS`` or ``LOGICAL_KINDS``.
        rng: source of place, size, direction and strength.

    Returns:
        The new image, uint8 (H, W, 3), and the mask, bool (H, W). Outside the mask the image is
        the old one bit for bit; inside, the grey value (mean of the channels) differs by
        ``MIN_CONTRAST`` levels or more on average, and by more where the surface is rough. The
        mask covers ``MIN_AREA`` to ``MAX_AREA`` of the image.

        Of a logical kind contrast and area are what the cell gives, and the mask is the strip of
        the busbar. Of a swapped half it is what stands where it does not belong, the edges of the
        cell: a strip on either side of the middle and at both margins. Outside of them the cell
        has changed, too, but looks as normal cells do.

    Raises:
        ValueError: for another shape, type or kind, or for an image on which no place was found
            where the defect would be visible, such as a black one, or that lacks the busbars
            of a logical kind.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape) < 3:
        raise ValueError(
            f"image must be uint8 of shape (H, W, 3), found {image.dtype} of shape {image.shape}"
        )
    if min(image.shape[:2]) < 32:
        raise ValueError(f"image must be 32 x 32 pixels or larger, found shape {image.shape}")
    if kind not in _SHAPES and kind not in LOGICAL_KINDS:
        names = ", ".join(KINDS + LOGICAL_KINDS)
        raise ValueError(f"unknown kind of defect: {kind!r}; known: {names}")
    grey = image.mean(axis=2)
    if kind in LOGICAL_KINDS:
        return _rearrange(image, kind, three_busbars(grey), rng)
    texture = np.abs(grey - gaussian_filter(grey, 0.06 * min(grey.shape)))
    rough = 1.48 * np.median(texture)  # a robust standard deviation: what it must stand out from
    least = max(MIN_CONTRAST, 1.5 * rough)
    for _ in range(_TRIES):
        opacity = gaussian_filter(_SHAPES[kind](grey, rng), _BLUR * min(grey.shape))
        opacity[opacity < _FAINTEST * opacity.max()] = 0
        mask = opacity > 0
        if not MIN_AREA * mask.size <= mask.sum() <= MAX_AREA * mask.size:
            continue
        drawn = _blend(image, opacity, kind, least, rng)
        if drawn is not None:
            return drawn, mask
    raise ValueError(
        f"found no place for a visible {kind} in {_TRIES} tries: the image has grey values from "
        f"{grey.min():.0f} to {grey.max():.0f}, mean {grey.mean():.0f}, and a difference of "
        f"{least:.0f} levels is needed; use a brighter or less textured image"
    )


def render_each(
    images: np.ndarray, *, seed: int, kinds: tuple[str, ...] = KINDS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one defect on each of several normal images: `render`, kind after kind.

    An image that has no place for any is left out: on a surface as rough as some readers' own, a
    drawn defect would not be seen.

    Args:
        images: uint8 (N, H, W, 3), H and W at least 32; they are not changed.
        seed: decides place, size, direction and strength; each image has a generator of its own.
        kinds: the first image gets the first kind, and so on, over again. Where an image has no
            place for its kind, the next kind is tried.

    Returns:
        Which images those are, int (M,) in rising order, the same with a defect,
        uint8 (M, H, W, 3), and its masks, bool (M, H, W); M may be 0.

    Raises:
        ValueError: for another shape, type or kind, or for images below 32 pixels.
    """
    if images.ndim != 4:
        raise ValueError(f"images must have shape (N, H, W, 3), found {images.shape}")
    if not kinds or set(kinds) - set(KINDS + LOGICAL_KINDS):
        raise ValueError(f"kinds must be some of {KINDS + LOGICAL_KINDS}, found {kinds!r}")
    if images.dtype != np.uint8 or images.shape[3] != 3 or min(images.shape[1:3]) < 32:
        raise ValueError(
            "images must be uint8 (N, H, W, 3) with H and W at least 32, "
            f"found {images.dtype} {images.shape}"
        )
    drawn, masks = images.copy(), np.zeros(images.shape[:3], dtype=bool)
    for i, image in enumerate(images):
        rng = np.random.default_rng([seed, i])
        for turn in range(len(kinds)):
            with contextlib.suppress(ValueError):  # no place: the next kind
                drawn[i], masks[i] = render(image, kinds[(i + turn) % len(kinds)], rng=rng)
                break
    index = np.flatnonzero(masks.any(axis=(1, 2)))
    return index, drawn[index], masks[index]


def three_busbars(grey: np.ndarray, *, least: float = 0.03) -> tuple[int, int, int]:
    """Find the busbars of a cell that has three of them at `BUSBARS`, horizontal.

    Args:
        grey: (H, W), values 0 to 255.
        least: by how much a busbar must be darker than the rows above and below it, as a share of
            the image's mean.

    Returns:
        The three rows, from the top.

    Raises:
        ValueError: if a busbar is missing, with how much darker the row is.
    """
    height, profile = len(grey), np.median(grey, axis=1)
    reach, away = max(round(0.02 * height), 1), max(round(0.035 * height), 2)
    rows = []
    for share in BUSBARS:
        low = round(share * height) - reach
        near = profile[low : low + 2 * reach + 1]
        row = low + round(np.flatnonzero(near == near.min()).mean())
        dip = min(profile[row - away], profile[row + away]) - profile[row]
        if dip < least * grey.mean():
            raise ValueError(
                f"a logical anomaly needs three horizontal busbars, at {BUSBARS} of the height; "
                f"near row {row} the image is darker by {dip / max(grey.mean(), 1e-9):.0%} of its "
                f"mean, and {least:.0%} are needed"
            )
        rows.append(row)
    return rows[0], rows[1], rows[2]


def _rearrange(
    image: np.ndarray, kind: str, bars: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A cell with a logical anomaly, and its mask."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), dtype=bool)
    if kind == "swapped_half":
        from_edge = np.arange(width) % (width - width // 2)
        mask[:, np.minimum(from_edge, width // 2 - 1 - from_edge) < 0.06 * width] = True
        return np.roll(image, width // 2, axis=1), mask
    half = max(round(0.03 * height), 2)
    bar = int(rng.choice(bars))
    if kind == "missing_busbar":
        place = bar
        # Brightness from above and below, grain from the strip beside it, inwards.
        beside = bar + (2 * half + 3) * (1 if bar == bars[0] else -1)
        grain = image[beside - half : beside + half + 1] / _across(image, beside, half)
        strip = _across(image, bar, half) * grain.clip(0.9, 1.1)
    else:
        low, high = [(bars[0], bars[1]), (bars[1], bars[2])][rng.integers(2)]
        place = round(low + rng.uniform(0.3, 0.7) * (high - low))
        shade = image[bar - half : bar + half + 1] / _across(image, bar, half)
        strip = image[place - half : place + half + 1] * np.minimum(shade, 1)
    drawn = image.copy()
    drawn[place - half : place + half + 1] = np.rint(strip).clip(0, 255)
    mask[place - half : place + half + 1] = True
    return drawn, mask


def _across(image: np.ndarray, row: int, half: int) -> np.ndarray:
    """What a strip (2 half + 1, W, 3) would be if it led evenly from above it to below it."""
    above = image[row - half - 2 : row - half].mean(axis=0)
    below = image[row + half + 1 : row + half + 3].mean(axis=0)
    share = np.linspace(0, 1, 2 * half + 1)[:, None, None]
    return np.maximum(above + share * (below - above), 1.0)


def _blend(
    image: np.ndarray, opacity: np.ndarray, kind: str, least: float, rng: np.random.Generator
) -> np.ndarray | None:
    """Take light away, or add it on a dark surface; None if the defect would not be seen."""
    grey, mask = image.mean(axis=2), opacity > 0
    wanted = least * rng.uniform(1.3, 2.2)
    darker = kind == "finger_interruption" or grey[mask].mean() > 70
    room = image.astype(np.float64) if darker else image - 255.0
    share = np.abs(room.mean(axis=2) * opacity)[mask].mean()
    strength = min(wanted / max(share, 1e-9), _STRONGEST)
    tint = np.ones(3)
    if kind == "stain" and np.ptp(image, axis=2).mean() > 4:  # a stain on a coloured surface
        tint = np.array([0.8, 1.0, 1.2])
    change = np.clip(strength * opacity[..., None] * tint, 0, 1) * room
    drawn = np.rint(image - change).astype(np.uint8)
    contrast = np.abs(drawn.mean(axis=2) - grey)[mask].mean()
    return drawn if contrast >= least else None


def _stroke(shape: tuple[int, ...], points: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Opacity (H, W) of a line through points (n, 2) as (y, x) with a radius at each."""
    limit = float(radii.max()) + 1
    low = np.clip(points.min(axis=0) - limit, 0, shape).astype(int)
    high = np.clip(points.max(axis=0) + limit + 1, 0, shape).astype(int)
    opacity = np.zeros(shape)
    box = opacity[low[0] : high[0], low[1] : high[1]]
    pixels = np.indices(box.shape).reshape(2, -1).T + low
    distance, nearest = cKDTree(points).query(pixels, distance_upper_bound=limit)
    radius = np.append(radii, 0.0)[nearest]  # beyond the limit `nearest` is the number of points
    box[:] = np.clip(radius - distance + 0.5, 0, 1).reshape(box.shape)
    return opacity


def _path(
    start: np.ndarray, angle: float, length: float, wander: float, rng: np.random.Generator
) -> np.ndarray:
    """Points (n, 2), a quarter pixel apart, of a line that bends, kinks and trembles."""
    count = max(int(length * 4), 8)
    bends = gaussian_filter1d(rng.normal(size=count), count / 6, mode="nearest")
    jitter = gaussian_filter1d(rng.normal(size=count), 5, mode="nearest")
    pieces = np.sort(rng.integers(0, count, size=max(int(length / 18), 1)))
    kinks = rng.normal(size=len(pieces) + 1)[np.searchsorted(pieces, np.arange(count))]
    heading = angle + wander * (0.7 * bends / bends.std() + kinks + 0.3 * jitter / jitter.std())
    steps = 0.25 * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    return start + np.cumsum(steps, axis=0)


def _start(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.12, 0.88, size=2) * np.array(shape)


def _crack(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = min(grey.shape)
    length, width = side * rng.uniform(0.25, 0.75), side * rng.uniform(0.003, 0.006)
    angle = rng.uniform(0, 2 * np.pi)
    main = _path(_start(grey.shape, rng), angle, length, 0.3, rng)
    lines = [(main, width)]
    for _ in range(rng.integers(0, 3)):
        fork = main[rng.integers(len(main) // 5, len(main) * 4 // 5)]
        turn = rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
        branch = _path(fork, angle + turn, length * rng.uniform(0.2, 0.5), 0.3, rng)
        lines.append((branch, width * 0.8))
    opacity = np.zeros(grey.shape)
    for points, radius in lines:
        thinning = np.linspace(1.1, 0.75, len(points))
        opacity = np.maximum(opacity, _stroke(grey.shape, points, radius * thinning))
    return opacity


def _scratch(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = min(grey.shape)
    length, angle = side * rng.uniform(0.15, 0.4), rng.uniform(0, np.pi)
    start = _start(grey.shape, rng)
    across = np.array([np.cos(angle), -np.sin(angle)])
    opacity = np.zeros(grey.shape)
    for i in range(rng.integers(1, 4)):
        offset = across * i * side * rng.uniform(0.012, 0.025)
        along = np.array([np.sin(angle), np.cos(angle)]) * side * rng.uniform(-0.04, 0.04)
        points = _path(start + offset + along, angle, length * rng.uniform(0.6, 1), 0.03, rng)
        pressure = gaussian_filter1d(rng.normal(size=len(points)), 12)
        radii = side * 0.0035 * (1 + 0.35 * pressure / pressure.std())
        opacity = np.maximum(opacity, _stroke(grey.shape, points, np.maximum(radii, 0)))
    return opacity


def _stain(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = min(grey.shape)
    centre, radius = _start(grey.shape, rng), side * rng.uniform(0.025, 0.058)
    y, x = np.indices(grey.shape) - centre[:, None, None]
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.7)
    along = (x * np.cos(turn) + y * np.sin(turn)) / stretch
    distance = np.hypot(along, y * np.cos(turn) - x * np.sin(turn)) / radius
    noise = gaussian_filter(rng.normal(size=grey.shape), radius / 3)
    mottle = gaussian_filter(rng.normal(size=grey.shape), side * 0.006)
    edge = 1 - distance + 0.25 * noise / noise.std()
    return np.clip(edge / 0.7, 0, 1) * np.clip(0.85 + 0.08 * mottle / mottle.std(), 0.6, 1)


def _busbars(grey: np.ndarray) -> tuple[int, list[int]]:
    """Axis across the busbars and their positions on it; no positions if there are none.

    A busbar shades the cell: the median along a row dips below that of the rows around it.
    """
    best, axis, positions = 0.0, 0, []
    for candidate in (0, 1):
        profile = np.median(grey, axis=1 - candidate)
        dip = median_filter(profile, size=max(len(profile) // 8, 3), mode="nearest") - profile
        edge = len(profile) // 20
        peaks, found = find_peaks(dip[edge:-edge], prominence=0.06 * grey.mean() + 1)
        strength = float(found["prominences"].sum())
        if strength > best:
            best, axis, positions = strength, candidate, [int(p) + edge for p in peaks]
    return axis, positions


def _finger_interruption(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = min(grey.shape)
    axis, bars = _busbars(grey)
    if not bars:
        axis = int(rng.integers(2))
    extent, breadth = grey.shape[axis], grey.shape[1 - axis]
    limits = np.array([0.03 * extent, *bars, 0.97 * extent])
    spans = [(a, b) for a, b in pairwise(limits) if b - a > 0.08 * side]
    lengths = np.array([b - a for a, b in spans])
    low, high = spans[rng.choice(len(spans), p=lengths / lengths.sum())]
    low, high = low + 0.012 * side, high - 0.012 * side
    centre, pitch = rng.uniform(0.1, 0.9) * breadth, side * rng.uniform(0.012, 0.022)
    from_low = rng.random() < 0.5
    along = np.arange(extent)[:, None] + 0.5
    across = np.arange(breadth)[None, :] + 0.5
    opacity = np.zeros((extent, breadth))
    for i in range(rng.integers(1, 5)):
        length = min(high - low, 0.4 * side) * rng.uniform(0.6, 1)
        begin, end = (low, low + length) if from_low else (high - length, high)
        half = pitch * rng.uniform(0.3, 0.7)
        sides = np.clip(half - np.abs(across - centre - i * pitch) + 0.5, 0, 1)
        ends = np.clip(np.minimum(along - begin, end - along) / (0.02 * side), 0, 1)
        opacity = np.maximum(opacity, sides * ends * rng.uniform(0.6, 1))
    return opacity if axis == 0 else opacity.T


_SHAPES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "crack": _crack,
    "scratch": _scratch,
    "stain": _stain,
    "finger_interruption": _finger_interruption,
}
