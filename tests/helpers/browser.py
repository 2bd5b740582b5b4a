"""A headless Chromium that tests talk to by its DevTools protocol, over pipes."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')


def find_browser() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in a headless Chromium.

    Args:
        program: As :func:`find_browser` returns it.
    """

    def __init__(self, program: str) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run']
        flags += ['--disable-background-networking', '--hide-scrollbars']
        command = [program, *flags, f'--user-data-dir={self._folder.name}']

        def place() -> None:
            # Chromium reads from 3 and writes to 4; duplicates first, as they may be 3 or 4.
            pair = os.dup(read), os.dup(write)
            os.dup2(pair[0], 3)
            os.dup2(pair[1], 4)

        self._process = subprocess.Popen(
            [*command, '--remote-debugging-pipe'],
            preexec_fn=place,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._number, self._buffer, self._session = 0, b'', None
        self.events: list[dict] = []
        target = self.send('Target.createTarget', url='about:blank')['targetId']
        session = self.send('Target.attachToTarget', targetId=target, flatten=True)
        self._session = session['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.send(f'{domain}.enable')

    def __enter__(self) -> 'Browser':
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()

    def send(self, method: str, **params) -> dict:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._number += 1
        message = {'id': self._number, 'method': method, 'params': params}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._out, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._receive()
            if answer.get('id') == self._number:
                assert 'error' not in answer, answer
                return answer['result']

    def _receive(self) -> dict:
        while b'\0' not in self._buffer:
            part = os.read(self._in, 1 << 20)
            assert part, 'the browser has ended'
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b'\0')
        message = json.loads(text)
        if 'method' in message:
            self.events.append(message)
        return message

    def open(self, page: Path, width: int = 1280, height: int = 900, scheme: str = 'light') -> None:
        """Load a file and wait for it.

        Args:
            page: The file.
            width: Of the window, in CSS pixels.
            height: Of the window, in CSS pixels.
            scheme: What the system prefers, ``'light'`` or ``'dark'``.
        """
        self.events.clear()
        size = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 600}
        self.send('Emulation.setDeviceMetricsOverride', **size)
        features = [{'name': 'prefers-color-scheme', 'value': scheme}]
        self.send('Emulation.setEmulatedMedia', features=features)
        self.send('Page.navigate', url=page.resolve().as_uri())
        while not any(event['method'] == 'Page.loadEventFired' for event in self.events):
            self._receive()

    def evaluate(self, script: str):
        """Return the value of a JavaScript expression in the page."""
        answer = self.send('Runtime.evaluate', expression=script, returnByValue=True)
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def press(self, key: str, code: int) -> None:
        """Press and release a key, e.g. ``press('Tab', 9)``."""
        text = {'text': '\r'} if key == 'Enter' else {}
        known = {'key': key, 'code': key, 'windowsVirtualKeyCode': code, **text}
        for kind in ('keyDown', 'keyUp'):
            self.send('Input.dispatchKeyEvent', type=kind, **known)

    def problems(self) -> list[str]:
        """Return what the console shows, and requests for anything but the page and its data."""
        found = []
        for event in self.events:
            params = event['params']
            if event['method'] in ('Runtime.consoleAPICalled', 'Runtime.exceptionThrown'):
                found.append(json.dumps(params))
            elif event['method'] == 'Log.entryAdded':
                found.append(params['entry']['text'])
            elif event['method'] == 'Network.requestWillBeSent':
                url = params['request']['url']
                if not url.startswith(('file:', 'data:')):
                    found.append(url)
        return found

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        answer = self.send('Page.captureScreenshot', captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer['data']))

    def print(self, path: Path) -> None:
        """Write the page as PDF."""
        answer = self.send('Page.printToPDF', preferCSSPageSize=True, printBackground=True)
        path.write_bytes(base64.b64decode(answer['data']))
