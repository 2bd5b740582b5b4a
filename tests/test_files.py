"""A file has its old content or its whole new one."""

import os

import pytest

from cct_mm.files import write_atomically


class TestWriteAtomically:
    def test_writes_text_and_bytes_and_makes_folders(self, tmp_path):
        write_atomically(tmp_path / 'new' / 'a.txt', 'ä\n')
        write_atomically(tmp_path / 'new' / 'b.png', b'\x00\r\n')
        assert (tmp_path / 'new' / 'a.txt').read_bytes() == 'ä\n'.encode()
        assert (tmp_path / 'new' / 'b.png').read_bytes() == b'\x00\r\n'

    def test_failure_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch):
        path = tmp_path / 'a.txt'
        write_atomically(path, 'old')

        def fail(*_):
            raise OSError('disk full')

        monkeypatch.setattr(os, 'replace', fail)
        with pytest.raises(OSError, match='disk full'):
            write_atomically(path, 'new')
        assert path.read_text() == 'old'
        assert os.listdir(tmp_path) == ['a.txt']
