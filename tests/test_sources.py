"""Whatever a lab cites or links to is in docs/sources.md, with the same name and year."""

import re
from pathlib import Path

import pytest

from diffusion_lab.instructor.build import sources

ROOT = Path(__file__).parents[1]
PAGE = "docs/sources.md"
NAME = r"(?![A-Z]{2})[A-Z][^\W\d_]+(?:-[A-Z][^\W\d_]+)?"
CITATION = re.compile(
    rf"\b({NAME})(?:, {NAME})*(?: (?:and|&) {NAME})?(?: et al\.)?,? (?:\(?(\d{{4}})\b(?=[),;:\]]))"
)
LINK = re.compile(r"\]\((https://(?!github\.com/OWNER|OWNER|colab)[^\s)]+)\)")
LABS = {path.stem[:2]: path for path in sources(ROOT)}


def running_text(source):
    """Returns the text of a lab in one line, without the marks of comments and quotations."""
    return re.sub(r"\s+", " ", re.sub(r"^[ #>*]+", "", source, flags=re.MULTILINE))


def section(number):
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    return running_text(page.split(f"\n## Lab {number}\n")[1].split("\n## ")[0])


@pytest.mark.parametrize("number", LABS)
def test_each_citation_of_a_lab_is_in_its_section(number):
    lab, listed = running_text(LABS[number].read_text(encoding="utf-8")), section(number)
    missing = set(CITATION.findall(lab)) - set(CITATION.findall(listed))
    assert not missing, f"{PAGE}, lab {number}: {missing}"


@pytest.mark.parametrize("number", LABS)
def test_each_link_of_a_lab_is_in_its_section(number):
    lab, listed = running_text(LABS[number].read_text(encoding="utf-8")), section(number)
    missing = set(LINK.findall(lab)) - set(LINK.findall(listed))
    assert not missing, f"{PAGE}, lab {number}: {missing}"


@pytest.mark.parametrize("number", LABS)
def test_the_head_of_each_lab_links_to_its_section(number):
    assert f"(../{PAGE}#lab-{number})" in LABS[number].read_text(encoding="utf-8").split("# %%")[1]


def test_citations_are_found():
    text = (
        "the U-Net (Ronneberger et al. 2015). Ho, Jain and Abbeel (2020) and (van den Oord et al."
        " 2016; Du & Mordatch 2019), since Karras et al. 2022: from 2015 to 2021"
    )
    assert CITATION.findall(running_text(text)) == [
        ("Ronneberger", "2015"),
        ("Ho", "2020"),
        ("Oord", "2016"),
        ("Du", "2019"),
        ("Karras", "2022"),
    ]
