"""Recognises files that people hand in instead of a notebook, by their first bytes."""

ZIP = b"PK\3\4"
KINDS = {  # {first bytes: kind}
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"{\\rtf": "an RTF document",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"#!/usr/bin/env python": "a Python script",  # as Jupyter exports it
    ZIP: "a zip",
}
IN_ZIPS = {  # {part of a zip: kind}, where names are not compressed
    b"word/document.xml": "a Word document",
    b"[Content_Types].xml": "an Office document",
    b"opendocument": "an OpenDocument file",
    b"Index/Document.iwa": "a Pages document",
}
WEB_PAGE = (b"<!doctype html", b"<html")
HEAD = 1_000  # bytes


def kind_of(content: bytes) -> str:
    """Returns what a file is, such as "a PDF", or "" for text and unknown files."""
    head = content[:HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.lower().startswith(WEB_PAGE):
        return "a web page (HTML)"
    if content.startswith(ZIP):
        return next((kind for part, kind in IN_ZIPS.items() if part in content), KINDS[ZIP])
    return next((kind for start, kind in KINDS.items() if head.startswith(start)), "")


def instead_of_a_notebook(content: bytes) -> str:
    """Returns a sentence for the student about a file that is not a notebook, or "" if its kind is
    unknown.
    """
    kind = kind_of(content)
    return kind and f"This file is {kind}, not a notebook. Hand in the .ipynb file."
