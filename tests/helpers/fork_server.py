"""Runs ``tools/*.py`` in processes of their own, forked from one that has paid for the imports.

A process that starts from nothing imports for seconds before it does what a test is about.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

SERVER = """
import gc, json, os, runpy, signal, sys, time

# What libraries print goes elsewhere than the answers.
answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)
import cct_mm, cct_mm.models, matplotlib.pyplot, mmengine.runner, mmseg.utils
import rich.progress, setuptools, torch.distributed

gc.freeze()


def start(log, argv, environment, directory):
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    # A shell's background jobs ignore Ctrl-C, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = argv
    # A test's own module, which does to the process what users cannot ask for.
    if 'PLUGIN' in environment:
        runpy.run_path(environment['PLUGIN'])
    sys.path[0] = os.path.dirname(os.path.abspath(argv[0]))
    runpy.run_path(argv[0], run_name='__main__')
    sys.exit()


def wait(child, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)


for line in sys.stdin:
    name, *arguments = json.loads(line)
    answer = {'start': start, 'wait': wait}[name](*arguments)
    print(json.dumps(answer), file=answers, flush=True)
"""


class ForkedTool:
    """A tool that runs.

    Args:
        server: Whose child it is.
        pid: Its process, the leader of a group of its own.
        log: Where its output goes.
    """

    def __init__(self, server: 'ForkServer', pid: int, log: Path) -> None:
        self.server, self.pid, self.log = server, pid, log
        self.code: int | None = None

    def wait(self, seconds: float = 300.0) -> int | None:
        """Wait for its end; return its exit code, -9 if killed, or None if it still runs."""
        if self.code is None:
            self.code = self.server.ask('wait', self.pid, seconds)
        return self.code

    def kill(self, group: bool = False) -> None:
        """Kill it as the system does for want of memory; with ``group``, its processes too."""
        if self.code is None:
            (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors='replace') if self.log.exists() else ''


class ForkServer:
    """Starts tools; a context that leaves no process behind.

    Args:
        environment: Added to that of this process.
    """

    def __init__(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-c', SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1', **environment},
        )
        self.started: list[ForkedTool] = []

    def ask(self, *request):
        """Send a request and return the answer."""
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def start(
        self,
        log: Path,
        *argv: object,
        environment: dict[str, str] | None = None,
        directory: Path = ROOT,
    ) -> ForkedTool:
        """Start a tool.

        Args:
            log: File that its output is added to.
            *argv: The tool, as ``tools/train.py`` or a path from ``directory``, and its arguments.
            environment: Added to the server's.
            directory: Where it runs.
        """
        argv = [str(argument) for argument in argv]
        pid = self.ask('start', str(log), argv, environment or {}, str(directory))
        self.started.append(ForkedTool(self, pid, log))
        return self.started[-1]

    def run(self, log: Path, *argv: object, seconds: float = 300.0, **options) -> ForkedTool:
        """Start a tool and wait for its end; one that takes longer than ``seconds`` is killed.

        Raises:
            TimeoutError: It did, with the end of its output.
        """
        tool = self.start(log, *argv, **options)
        if tool.wait(seconds) is None:
            tool.kill(group=True)
            tool.wait()
            raise TimeoutError(f'{argv} ran for more than {seconds} s:\n{tool.output[-2000:]}')
        return tool

    def __enter__(self) -> 'ForkServer':
        return self

    def __exit__(self, *_) -> None:
        for tool in self.started:
            tool.kill(group=True)
        self.process.stdin.close()
        self.process.wait()


def wait_until(condition, seconds: float, pause: float = 0.001):
    """Return the first true value of ``condition()``, or None after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(pause)
    return None
