"""What README.md and docs/*.md tell users to type, for the tests that run it."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^( *)```(\w+)\n(.*?)^\1```', re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of one language on a page, e.g. ``blocks('docs/predict.md', 'bash')``.

    Args:
        page: Path from the root of the repository.
        language: As written behind the three backticks.
    """
    text = (ROOT / page).read_text(encoding='utf-8')
    return [textwrap.dedent(code) for _, kind, code in BLOCK.findall(text) if kind == language]


def commands(page: str) -> list[str]:
    r"""Return the commands on a page, one a line; a line that ends in ``\\`` goes on.

    Args:
        page: Path from the root of the repository.
    """
    lines = '\n'.join(blocks(page, 'bash')).replace('\\\n', ' ').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith('#')]
