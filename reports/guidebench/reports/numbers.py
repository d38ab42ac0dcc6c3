"""Numbers as a reader wants them: the error tells how many digits mean something."""

import re

from guidebench.reports.record import Display

ABSENT = "—"
MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"
TOGETHER = re.compile(r" (?=[±=%])|(?<=[±=]) |(?<=,) (?=\S+\])")


def measured(value: float, error: float, *, percent: bool = False, unit: bool = False) -> str:
    """`value ± error`, the error with two significant digits and the value as far as it.

    Args:
        value: as stored.
        error: its standard error, as stored.
        percent: shows both times 100.
        unit: writes % behind both, for a sentence; a table has it in the heading.

    >>> measured(0.12039, 0.0051, percent=True)
    '12.04 ± 0.51'
    >>> measured(1.5, 0.0996)
    '1.50 ± 0.10'
    """
    scale = 100 if percent else 1
    sign = " %" if percent and unit else ""
    places = decimals(error * scale)
    if places is None:
        return f"{significant(value * scale)}{sign} ± 0"
    return f"{fixed(value * scale, places)}{sign} ± {fixed(error * scale, places)}{sign}"


def interval(value: float, low: float, high: float, error: float, display: Display) -> str:
    """A difference with its sign and its interval.

    >>> interval(0.101, 0.0919, 0.1101, 0.0046, Display(label="x", better="lower"))
    '+0.1010 [0.0919, 0.1101]'
    """
    scale = 100 if display.percent else 1
    unit = " percentage points" if display.percent else ""
    places = decimals(error * scale)
    if places is None:
        sign = "+" if value > 0 else ""
        return f"{sign}{significant(value * scale)}{unit} exactly"
    shown = fixed(value * scale, places)
    sign = "" if shown.startswith(MINUS) else "+"
    low_text, high_text = fixed(low * scale, places), fixed(high * scale, places)
    return f"{sign}{shown}{unit} [{low_text}, {high_text}]"


def decimals(error: float) -> int | None:
    """Decimals that show `error` with two digits, negative for tens; None for no error.

    >>> decimals(0.0996), decimals(0.51), decimals(123.0), decimals(0.0)
    (2, 2, -1, None)
    """
    if error == 0:
        return None
    return 1 - int(f"{error:.1e}".split("e")[1])


def fixed(value: float, places: int) -> str:
    """`value` to `places` decimals, with a true minus and no negative zero.

    >>> fixed(1234.5, -1), fixed(-0.001, 2), fixed(1.234e9, -7)
    ('1230', '0.00', '1230000000')
    """
    if places > 7:
        exponent = int(f"{value:e}".split("e")[1])
        return f"{value:.{max(places + exponent, 0)}e}".replace("-", MINUS)
    text = f"{value:.{places}f}" if places >= 0 else f"{round(value, places):.0f}"
    if not text.strip("-0."):
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def significant(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits, thousands written out.

    >>> significant(0.012345), significant(12345.6), significant(0.0)
    ('0.0123', '12300', '0')
    """
    if value == 0:
        return "0"
    return fixed(value, digits - 1 - int(f"{value:.{digits - 1}e}".split("e")[1]))


def binary_size(num_bytes: int) -> str:
    """Bytes with three significant digits, in the largest binary unit that they fill.

    >>> binary_size(512), binary_size(3 * 2**20), binary_size(1717986918)
    ('512 B', '3.00 MiB', '1.60 GiB')
    """
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{significant(size)} {unit}"
        size /= 1024
    return f"{significant(size)} GiB"


def prefixed(count: float) -> str:
    """A large count with three digits and its decimal prefix.

    >>> prefixed(1.469e8), prefixed(7.7e12), prefixed(12.0)
    ('147 M', '7.70 T', '12.0')
    """
    for size, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{significant(count / size)}{prefix}"
    return significant(count)


def unbroken(text: str) -> str:
    """No line may end inside `value ± error`, `w = 2`, `12 %` or an interval."""
    return TOGETHER.sub(NO_BREAK, text)
