"""The frame of every HTML page of the results: one small stylesheet inside, nothing from elsewhere."""

from __future__ import annotations

from html import escape
from importlib.resources import files

__all__ = ["html_page"]


def html_page(title: str, body: str, *, styles: str = "") -> str:
    """A whole page that a browser shows without a network.

    Args:
        title: Plain text.
        body: HTML.
        styles: CSS after the common one.
    """
    common = files("crreid.study").joinpath("page.css").read_text(encoding="utf8")
    head = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>\n{common}{styles}</style>\n</head>\n'
    )
    return f"{head}<body>\n{body}\n</body>\n</html>\n"
