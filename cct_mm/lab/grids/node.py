"""A program that a launcher starts in front of a run, on the machine that it has chosen.

``python node.py FILE COMMAND...`` writes into FILE which machine this is, then becomes the command.
It imports nothing but the standard library, so that it takes no time, and no package has to be
found before the command finds it.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any


def describe_hardware() -> dict[str, Any]:
    """Return the name of this machine, in its cluster if it has one, with its CPU and GPU."""
    host = os.environ.get('SLURMD_NODENAME') or platform.node()
    return {'host': host, **describe_cpu(), 'gpu': _gpu_model()}


def describe_cpu() -> dict[str, Any]:
    """Return the CPU's name, its widest vector instructions, and the cores that may be used.

    Results are rounded differently with other instructions, and in a virtual machine processors of
    several generations have one name.
    """
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    about = dict(re.split(r'\s*:\s*', line, maxsplit=1) for line in lines if ':' in line)
    flags = about.get('flags', '').split()
    return {
        'cpu': about.get('model name') or platform.processor() or platform.machine(),
        'instructions': next((name for name in ('avx512f', 'avx2') if name in flags), None),
        'cores': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count(),
    }


def _gpu_model() -> str | None:
    """Return the name of the first GPU that a program may use here, None without one."""
    chosen = os.environ.get('CUDA_VISIBLE_DEVICES')
    if chosen == '':
        return None
    command = ['nvidia-smi', '--query-gpu=name', '--format=csv,noheader']
    command += [f'--id={chosen.split(",")[0]}'] if chosen else []
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.splitlines()[0].strip() if found.strip() else None


if __name__ == '__main__':
    _, file, *command = sys.argv
    Path(file).write_text(json.dumps(describe_hardware(), indent=2) + '\n', encoding='utf-8')
    # In the place of this process, so that signals and exit codes are those of the command.
    os.execvp(command[0], command)
