"""Synthesized levels by brute force, straight from their definition, for comparison with the mount.

A level below the smallest stored one halves y and x, rounding up, until both are at most 256. A pixel is the mean of the
one, two or four pixels under it: integers floor((sum + n/2) / n), floats (a+b)+(c+d) in float64. Palette indices take
pixel (floor(y*Y0/Yk), floor(x*X0/Xk)) of level 0.
"""
import numpy as np

SMALLEST = 256


def sizes_below(height, width):
    """Heights and widths of the levels that follow a level of this size."""
    out = []
    while height > SMALLEST or width > SMALLEST:
        height, width = -(-height // 2), -(-width // 2)
        out.append((height, width))
    return out


def _sum2x2(a, dtype):
    """Sums of 2 x 2 blocks, (a+b)+(c+d), and how many pixels each has. Missing neighbours are not added, not even as zero."""
    h, w = a.shape
    rows = []
    for r in (a[0::2], a[1::2]):
        s = r[:, 0::2].astype(dtype)
        s[:, : w // 2] += r[:, 1::2].astype(dtype)
        rows.append(s)
    total, below = rows
    total[: h // 2] += below
    ny = np.full(-(-h // 2), 2)
    nx = np.full(-(-w // 2), 2)
    ny[h // 2:] = 1
    nx[w // 2:] = 1
    return total, ny[:, None] * nx[None, :]


def mean2x2(a):
    """The next level of one plane."""
    if a.dtype.kind == "c":
        out = np.empty((-(-a.shape[0] // 2), -(-a.shape[1] // 2)), a.dtype)
        out.real, out.imag = mean2x2(a.real), mean2x2(a.imag)
        return out
    if a.dtype.kind == "f":
        with np.errstate(all="ignore"):
            total, n = _sum2x2(a, np.float64)
            return (total / n).astype(a.dtype)
    if a.dtype.itemsize == 8:
        total, n = _sum2x2(a.astype(object), object)
        n = n.astype(object)
    else:
        total, n = _sum2x2(a, np.int64)
    return ((total + n // 2) // n).astype(a.dtype)


def nearest(a, height, width):
    """A level of a palette plane, out of level 0."""
    y = np.arange(height) * a.shape[0] // height
    x = np.arange(width) * a.shape[1] // width
    return a[y[:, None], x[None, :]]


def pyramid(plane, indices=False):
    """All synthesized levels below one plane."""
    out, last = [], plane
    for h, w in sizes_below(*plane.shape):
        last = nearest(plane, h, w) if indices else mean2x2(last)
        out.append(last)
    return out


def pyramid_of_bands(bands, height, width):
    """All synthesized levels of a plane that comes in bands of rows, each but the last a multiple of the coarsest factor."""
    count = len(sizes_below(height, width))
    parts = [[] for _ in range(count)]
    for band in bands:
        for k in range(count):
            band = mean2x2(band)
            parts[k].append(band)
    return [np.concatenate(p) for p in parts]
