"""Numbers as pages print them."""

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"))


def ago(seconds: float) -> str:
    """How long ago something was, in its two largest parts; a page changes once a minute by it."""
    if seconds < 60:
        return "just now"
    at = next(i for i, (size, _) in enumerate(_STEPS) if seconds >= size)
    size, name = _STEPS[at]
    whole, rest = divmod(int(seconds), size)
    if at + 1 == len(_STEPS):
        return f"{whole} {name} ago"
    smaller, unit = _STEPS[at + 1]
    left = rest // smaller
    return f"{whole} {name} {left} {unit} ago" if left else f"{whole} {name} ago"


def share(ratio: float) -> str:
    """A share in percent, to a digit that still says something."""
    if 0 < ratio < 0.0001:
        return "< 0.01 %"
    return f"{100 * ratio:.{0 if ratio in (0, 1) else 1 if ratio >= 0.001 else 2}f} %"


def thousands(n: int) -> str:
    """A whole number with its thousands apart."""
    return f"{n:,}"


def digits(value: float, most: int = 3) -> str:
    """A number to so many digits, large ones whole."""
    if abs(value) >= 10 ** (most - 1) or value == 0:
        return f"{value:,.0f}"
    return f"{value:.{most}g}"
