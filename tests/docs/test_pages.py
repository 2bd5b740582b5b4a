"""What holds for all pages: tests for their commands, links that lead somewhere, paths that are."""

import re
from pathlib import Path

import pytest
from doc_pages import BLOCK, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = ['README.md', *(f'docs/{path.name}' for path in sorted((ROOT / 'docs').glob('*.md')))]
LINK = re.compile(r'\]\(([^)\s]+)\)')
# What a page names in backticks as a part of the repository.
NAMED = re.compile(r'`((?:cct_mm|configs|data|docs|tests|tools)/[\w./-]*)`')
# Pages on which such a name is a file of a user or one that has gone.
HYPOTHETICAL = {'docs/own_data.md', 'docs/configs.md'}


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r'^#+ (.+)$', BLOCK.sub('', text), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES)
def test_a_page_with_commands_has_a_test_that_runs_them(page):
    if blocks(page, 'bash'):
        name = f'test_{Path(page).stem.lower()}.py'
        test = ROOT / 'tests/docs' / name
        assert test.is_file(), f'{page} has commands: write {test} to run them'
        assert page in test.read_text(encoding='utf-8')


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    text = BLOCK.sub('', (ROOT / page).read_text(encoding='utf-8'))
    for link in LINK.findall(text):
        if re.match(r'\w+:', link):
            continue
        path, _, anchor = link.partition('#')
        target = ((ROOT / page).parent / path) if path else ROOT / page
        assert target.exists(), f'{page}: {link}'
        if anchor:
            assert anchor in anchors(target.read_text(encoding='utf-8')), f'{page}: {link}'


@pytest.mark.parametrize('page', [page for page in PAGES if page not in HYPOTHETICAL])
def test_named_files_are_there(page):
    named = NAMED.findall((ROOT / page).read_text(encoding='utf-8'))
    missing = [path for path in named if path.isascii() and not (ROOT / path).exists()]
    assert [path for path in missing if not re.search(r'NAME|PAGE', path)] == []


def test_the_paper_leads_to_every_file_of_the_method():
    text = (ROOT / 'docs/paper.md').read_text(encoding='utf-8')
    for folder in ('models/losses', 'models/cct/perturbations'):
        for path in (ROOT / 'cct_mm' / folder).glob('*.py'):
            helper = path.stem in ('__init__', 'average', 'base', 'numbers')
            assert helper or path.relative_to(ROOT).as_posix() in text, path
