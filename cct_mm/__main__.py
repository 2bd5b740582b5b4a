"""List the commands, or start one: ``python -m cct_mm train CONFIG``."""

import ast
import os
import sys
from pathlib import Path

from . import __version__

TOOLS = Path(__file__).parent / '.mim/tools'
NO_COMMANDS = ('dist_run', 'options')
"""What the other tools use, and no user starts."""


def commands() -> dict[str, Path]:
    """Return the file of each command, by its name."""
    files = sorted(TOOLS.glob('*.py'))
    return {file.stem: file for file in files if file.stem not in NO_COMMANDS}


def summary(file: Path) -> str:
    """Return the first sentence of a tool's docstring, without its command line."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding='utf-8'))) or ''
    return docstring.partition('\n')[0].partition(': ``')[0].rstrip('.')


def main() -> None:
    """List the commands, or become one."""
    name, *arguments = sys.argv[1:] or ['--help']
    known = commands()
    if name == '--version':
        print(f'cct_mm {__version__}')
    elif name in ('-h', '--help'):
        width = max(map(len, known))
        print('usage: python -m cct_mm COMMAND [arguments]\n\ncommands:')
        for command, file in known.items():
            print(f'  {command:{width}}  {summary(file)}')
        print('\nEach says more after --help. A config is a file, or cct_mm::NAME for one in')
        print(TOOLS.parent / 'configs')
    elif name in known:
        # In the place of this process, so that signals and exit codes are those of the tool.
        os.execv(sys.executable, [sys.executable, str(known[name]), *arguments])
    else:
        sys.exit(f'no command {name!r}, expected one of {", ".join(known)}')


if __name__ == '__main__':
    main()
