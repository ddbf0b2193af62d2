"""What the book's notebooks need, in the book and on Colab alike.

The book sets the environment variable ``CAUSALPREF_BOOK`` while it runs
notebooks. There, numbers and figures go to the page through MyST-NB's glue;
elsewhere they are shown where they are computed.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

__all__ = ["check", "figure", "glue", "say"]

_glued: dict[str, Any] = {}
_PLACE = re.compile(r"\[\[([A-Za-z_][\w.-]*)(?::([^\[\]]*))?\]\]")


def _in_book() -> bool:
    return bool(os.environ.get("CAUSALPREF_BOOK"))


def _plain(value: Any) -> Any:
    """Turn a scalar of NumPy or torch into Python's."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def glue(name: str, value: Any) -> None:
    """Remember a number or text for the prose.

    Parameters
    ----------
    name : str
        Name used in the page, ``{glue:text}`name:.2f```, and by `say`.
    value : number, str or bool
        A scalar of NumPy is turned into Python's.
    """
    value = _plain(value)
    _glued[name] = value
    if _in_book():
        from myst_nb import glue as to_page

        to_page(name, value, display=False)


def figure(name: str, obj: Any) -> None:
    """Hand a chart or table to the page.

    Parameters
    ----------
    name : str
        Name used by the page's ``{glue:figure}`` directive.
    obj : object
        Chart, ``DataFrame`` or ``Styler``. In the book it appears where the
        directive is, elsewhere at the cell.
    """
    if _in_book():
        from myst_nb import glue as to_page

        to_page(name, obj, display=False)
    else:
        from IPython.display import display

        display(obj)


def say(markdown: str) -> None:
    """Display Markdown with glued values in it.

    Parameters
    ----------
    markdown : str
        Text in which ``[[name]]`` or ``[[name:.2f]]`` stands for a value.

    Raises
    ------
    KeyError
        If a name was not glued before.
    """
    from IPython.display import Markdown, display

    display(Markdown(_PLACE.sub(_fill, markdown.strip())))


def _fill(match: re.Match[str]) -> str:
    name, spec = match.groups()
    if name not in _glued:
        known = ", ".join(sorted(_glued)) or "none"
        raise KeyError(f"no value glued as {name!r}; run the cells above first (known: {known})")
    return format(_glued[name], spec) if spec else str(_glued[name])


def check(what: str, yours: Any, expected: Any, tolerance: float = 1e-9) -> bool:
    """Print an exercise's answer beside the expected one.

    Parameters
    ----------
    what : str
        Name of the quantity.
    yours : object
        The reader's answer: number, array, sequence, string or bool. ``None``
        or ``...`` means that it is not written yet.
    expected : object
        The right answer.
    tolerance : float
        Largest difference of numbers, absolute for values below one in size
        and relative above.

    Returns
    -------
    bool
        Whether the answer is right. A wrong one does not raise.
    """
    if yours is None or yours is ...:
        print(f"{what}: not written yet")
        return False
    yours, expected = _plain(yours), _plain(expected)
    right = _same(yours, expected, tolerance)
    print(f"{what}: yours {_show(yours)}, expected {_show(expected)}  {'✓' if right else '✗'}")
    return right


def _same(yours: Any, expected: Any, tolerance: float) -> bool:
    try:
        if isinstance(expected, (bool, str)) or isinstance(yours, (bool, str)):
            return type(yours) is type(expected) and yours == expected
        a, b = np.asarray(yours), np.asarray(expected)
        if a.shape != b.shape:
            return False
        if a.dtype.kind in "iufc" and b.dtype.kind in "iufc":
            bound = tolerance * np.maximum(1.0, np.abs(b))
            equal_nan = (a != a) & (b != b)
            with np.errstate(invalid="ignore"):
                close = (a == b) | (np.abs(np.subtract(a, b, dtype=complex)) <= bound)
            return bool(np.all(close | equal_nan))
        return bool(np.all(a == b))
    except Exception:  # an answer of the wrong kind is a wrong answer
        return False


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) or hasattr(value, "shape"):
        try:
            return np.array2string(np.asarray(value), precision=6, separator=", ", threshold=20)
        except Exception:
            pass
    return repr(value)
