"""``docs/mapping.md`` lists the sources and what fits where, exactly."""

import re
from pathlib import Path

from gateway.sdk.mapping import COMPATIBLE, SOURCES

PAGE = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text()


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_lists_every_source_with_its_type():
    assert rows("Sources") == [[name, source.type] for name, source in SOURCES.items()]


def test_the_page_lists_what_fits_where():
    assert rows("What fits where") == [[kind, ", ".join(sorted(takes))] for kind, takes in COMPATIBLE.items()]


def test_the_page_is_about_this_gateway_alone():
    assert not re.search(r"pipedrive|servicetitan", PAGE, re.IGNORECASE)
