"""A sheet as Markdown, CSV, LaTeX (booktabs) and HTML, by pandas and its Styler."""

from collections.abc import Callable, Sequence
from typing import Final

import pandas as pd
from pandas.io.formats.style import Styler

from guidebench.reports.papers.fill import Sheet
from guidebench.reports.render import escape_latex

_PREAMBLE: Final = r"""\documentclass{article}
\usepackage[a4paper,landscape,margin=12mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
"""


def _heads(text: pd.DataFrame) -> list[str]:
    """One line of headings: the metric before each of its columns."""
    return [" ".join(filter(None, key)) for key in text.columns]


def markdown(sheet: Sheet) -> str:
    """A pipe table with its footnotes as a list."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    rows = [line([str(c) for c in row]) for row in sheet.text.itertuples(index=False)]
    rule = line(["---", *["---:"] * (len(sheet.text.columns) - 1)])
    notes = [f"- {note}" for note in sheet.footnotes]
    table = [line(_heads(sheet.text)), rule, *rows]
    return "\n".join([f"### {sheet.title}", "", *table, "", *notes, ""])


def csv(sheet: Sheet) -> str:
    """Unrounded numbers, one line for each printed value."""
    return sheet.numbers.to_csv(index=False, lineterminator="\n")


def _styler(sheet: Sheet, escape: Callable[[str], str]) -> Styler:
    """Text escaped once, here; the Styler lays it out."""
    text = sheet.text.map(lambda cell: escape(str(cell)))
    text.columns = pd.MultiIndex.from_tuples(
        [tuple(escape(part) for part in key) for key in sheet.text.columns]
    )
    return Styler(text, uuid=sheet.name).hide(axis="index")


def _escape(text: str) -> str:
    """For LaTeX, with two hyphens kept two: an option of a command is no dash."""
    return escape_latex(text).replace("--", "-{}-") if "--" in text else escape_latex(text)


def _note(text: str, escape: Callable[[str], str], code: str) -> str:
    """A footnote, its `commands` in the format's own face."""
    words, commands = text.split("`")[::2], text.split("`")[1::2]
    shown = [code.format(escape(command)) for command in commands]
    return "".join(map("".join, zip(map(escape, words), [*shown, ""], strict=True)))


def latex(sheet: Sheet) -> str:
    r"""A booktabs table no wider than the text; needs packages booktabs and graphicx."""
    made = _styler(sheet, _escape)
    body = made.to_latex(
        hrules=True,
        multicol_align="c",
        column_format="l" + "r" * (len(sheet.text.columns) - 1),
    )
    return "\n".join([
        r"\begin{table}[h]",
        r"\centering",
        rf"\caption{{{escape_latex(sheet.title)}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",  # never enlarged
        body.rstrip() + "}",
        r"\par\smallskip\footnotesize\raggedright",
        *(_note(note, _escape, r"\texttt{{{}}}") + r"\par" for note in sheet.footnotes),
        r"\end{table}",
        "",
    ])  # fmt: skip


def latex_document(sheets: Sequence[Sheet]) -> str:
    """A document that compiles as it stands: one table a page."""
    pages = [latex(sheet) + "\\clearpage\n" for sheet in sheets]
    return _PREAMBLE + "".join(pages) + "\\end{document}\n"


def html(sheet: Sheet) -> str:
    """A table with caption and footnotes, without a page around it."""
    made = _styler(sheet, _escape_html).set_caption(_escape_html(sheet.title))
    notes = "".join(
        f"<li>{_note(note, _escape_html, '<code>{}</code>')}</li>" for note in sheet.footnotes
    )
    return f'{made.to_html()}<ul class="footnotes">{notes}</ul>\n'


def html_page(sheets: Sequence[Sheet]) -> str:
    """All tables on one page that needs nothing else."""
    style = (
        "body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
        ".scroll{overflow-x:auto}table{border-collapse:collapse}caption{text-align:left;"
        "font-weight:700;margin:1.5rem 0 .5rem}td,th{padding:.25rem .6rem;text-align:right;"
        "white-space:nowrap;border-top:1px solid #8884}"
        "td:first-child,tr:last-child>th:first-child{text-align:left}"
        "@media(max-width:40em){body{margin:.7rem}td:first-child{white-space:normal;min-width:8em}}"
        ".footnotes{font-size:.85em;opacity:.8}"
    )
    body = "".join(f'<section class="scroll">{html(sheet)}</section>' for sheet in sheets)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>The papers' tables</title><style>{style}</style>{body}</html>\n"
    )


def _escape_html(text: str) -> str:
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(raw, safe)
    return text


FORMATS: Final[dict[str, tuple[str, Callable[[Sheet], str]]]] = {
    "md": ("md", markdown),
    "csv": ("csv", csv),
    "latex": ("tex", latex),
    "html": ("html", html),
}
"""File suffix and writer of each format."""
