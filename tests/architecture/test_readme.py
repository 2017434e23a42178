"""What the README tells people to type exists, and its links lead somewhere."""

import re
import shlex

import pytest

from pipeline.cli import main
from tests.architecture.source_tree import ROOT

PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip().removeprefix(".venv/bin/").split("#")[0]
    for line in README.splitlines()
    if re.match(r" +(\.venv/bin/)?weathervane ", line)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_can_be_typed(line: str):
    for one in line.split(";"):
        _, name, *rest = shlex.split(one)
        words = ["1" if word == "ENTRY" else word for word in rest]
        main.commands[name].make_context(name, words)


def test_the_readme_shows_commands():
    assert len(COMMANDS) >= 8


def test_the_targets_of_the_readme_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^ +|`)make ([a-z-]+)", README, re.MULTILINE))
    assert named >= {"run", "test", "ui", "help"}
    assert all(re.search(rf"^{name}:.*## ", makefile, re.MULTILINE) for name in named)


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page: str):
    path = ROOT / page
    links = re.findall(r"\[[^]]+\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    missing = [
        link
        for link in links
        if not link.startswith("http") and not (path.parent / link).resolve().exists()
    ]
    assert missing == []
