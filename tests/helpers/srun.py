"""Stands in for ``srun``: runs a command on "nodes" of this machine, as Slurm's own program would.

It refuses options that it does not know, waits for a free node, sets the variables of a task,
forwards a SIGTERM, counts a first SIGINT for nothing, and ends with the code of the task. The
folder ``STAND_IN_NODES`` has one file for each node, whose lock is held while the node is in use.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def parse_args():
    parser = argparse.ArgumentParser(prog='srun', allow_abbrev=False)
    parser.add_argument('-p', '--partition', choices=['gpu'], required=True)
    parser.add_argument('-n', '--ntasks', type=int, choices=[1], required=True)
    parser.add_argument('--gres')
    parser.add_argument('command', nargs=argparse.REMAINDER)
    return parser.parse_args()


def free_node(folder):
    """Wait for a node, of the free ones the longest unused; return its name and what holds it."""
    while True:
        for path in sorted(folder.iterdir(), key=lambda path: (path.stat().st_mtime_ns, path)):
            handle = path.open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
            else:
                os.utime(path)
                return path.name, handle
        time.sleep(0.01)


def main():
    args = parse_args()
    task = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: task and task[0].send_signal(number))
    node, _handle = free_node(Path(os.environ['STAND_IN_NODES']))
    variables = {'SLURM_JOB_ID': '1', 'SLURM_PROCID': '0', 'SLURMD_NODENAME': node}
    # In a session of its own: what is sent to srun's group does not reach another machine.
    command = subprocess.Popen(
        args.command,
        env={**os.environ, **variables},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    task.append(command)
    code = command.wait()
    if code:
        print(f'srun: error: {node}: task 0: Exited with exit code {code}', file=sys.stderr)
    sys.exit(128 - code if code < 0 else code)


if __name__ == '__main__':
    main()
