"""Runs of several processes that can be watched, stopped and killed, and leave none behind."""

import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Launch:
    """A command with all processes that descend from it.

    Args:
        command: What to run, in the root of the repository.
        log: Where its output goes.
        environment: Its environment; a variable is added, by which descendants are known.
    """

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self.mark = f'TEST_LAUNCH={uuid.uuid4()}'
        name, value = self.mark.split('=')
        with log.open('ab') as file:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment, name: value},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill_all()

    @property
    def output(self) -> str:
        return self.log.read_text(errors='replace')

    def processes(self, **variables: str) -> list[int]:
        """Process ids of this launch, of those alone that have all variables set."""
        wanted = {self.mark, *(f'{name}={value}' for name, value in variables.items())}
        found = []
        for folder in Path('/proc').iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                environment = (folder / 'environ').read_text(errors='replace').split('\0')
            except OSError:
                continue
            # A zombie has no environment any more.
            if wanted <= set(environment):
                found.append(int(folder.name))
        return sorted(found)

    def rank(self, number: int) -> int:
        """Process id of a rank; its loader's workers are younger."""
        return self.processes(RANK=str(number))[0]

    def wait_for(self, path: Path, seconds: float = 240) -> None:
        """Wait until a file is there."""
        deadline = time.monotonic() + seconds
        while not path.exists():
            assert self.process.poll() is None, f'ended before {path} was there:\n{self.output}'
            assert time.monotonic() < deadline, f'no {path} after {seconds} s:\n{self.output}'
            time.sleep(0.02)

    def end(self, seconds: float = 240) -> int:
        """Wait for the end of all processes and return the exit code of the command."""
        deadline = time.monotonic() + seconds
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'still runs after {seconds} s:\n{self.output}') from None
        while left := self.processes():
            assert time.monotonic() < deadline, f'processes {left} are left:\n{self.output}'
            time.sleep(0.1)
        return code

    def kill_all(self) -> None:
        """Kill every process at once, as a power cut does."""
        while left := self.processes():
            for process in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        self.process.wait()
