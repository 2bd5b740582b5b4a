"""The command lines that errors recommend."""

import shlex
from collections.abc import Sequence
from os import PathLike


def resume_command(command: Sequence[str], option: str = '--resume') -> str:
    """Return the command that resumes a run.

    Args:
        command: The tool and its arguments, as in ``sys.argv``.
        option: ``--resume`` or ``--extend``.
    """
    return shlex.join(['python', *_without(command, '--resume'), option])


def new_run_command(
    command: Sequence[str], work_dir: str | PathLike, checkpoint: str | PathLike
) -> str:
    """Return the command that starts a new run from the weights of a checkpoint.

    Args:
        command: The tool and its arguments, as in ``sys.argv``.
        work_dir: Work dir of the run before; the new one gets another.
        checkpoint: The checkpoint.
    """
    kept = _without(_without(command, '--resume'), '--extend')
    kept = [word for word in kept if not word.startswith('load_from=')]
    option = f'load_from={checkpoint}'
    if '--cfg-options' in kept:
        place = kept.index('--cfg-options') + 1
        kept[place:place] = [option]
    else:
        kept += ['--cfg-options', option]
    kept = _without(kept, '--work-dir', values=1)
    return shlex.join(['python', *kept, '--work-dir', f'{str(work_dir).rstrip("/")}-2'])


def _without(command: Sequence[str], option: str, values: int = 0) -> list[str]:
    kept = list(command)
    while option in kept:
        place = kept.index(option)
        del kept[place : place + 1 + values]
    return [word for word in kept if not (values and word.startswith(f'{option}='))]
