"""The commands of README.md."""

import re
from pathlib import Path

import pytest
import yaml
from doc_pages import commands
from doc_runs import run_installation

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = commands('README.md')


@pytest.mark.parametrize('command', COMMANDS)
def test_commands(command):
    run_installation(command)


def test_the_citation_file_cites_what_the_readme_does():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    paper = citation['preferred-citation']
    assert f'{{{paper["title"]}}}' in text and paper['url'] in text
    assert [author['family-names'] for author in paper['authors']] == re.findall(
        r'(\w+), [^ ]+(?= and|},)', re.search(r'author += \{(.+)\n', text)[1]
    )
