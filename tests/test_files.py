"""A file has its old content or its whole new one."""

import os

import pytest

from cct_mm.files import remove_unfinished, write_atomically


class TestWriteAtomically:
    def test_writes_text_and_bytes_and_makes_folders(self, tmp_path):
        write_atomically(tmp_path / 'new' / 'a.txt', 'ä\n')
        write_atomically(tmp_path / 'new' / 'b.png', b'\x00\r\n')
        assert (tmp_path / 'new' / 'a.txt').read_bytes() == 'ä\n'.encode()
        assert (tmp_path / 'new' / 'b.png').read_bytes() == b'\x00\r\n'

    @pytest.mark.parametrize('durable', [False, True])
    def test_failure_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch, durable):
        path = tmp_path / 'a.txt'
        write_atomically(path, 'old', durable)

        def fail(*_):
            raise OSError('disk full')

        monkeypatch.setattr(os, 'replace', fail)
        with pytest.raises(OSError, match='disk full'):
            write_atomically(path, 'new', durable)
        assert path.read_text() == 'old'
        assert os.listdir(tmp_path) == ['a.txt']

    def test_durable_content_is_on_the_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        done = []
        for name in ('fsync', 'replace'):
            call = getattr(os, name)
            monkeypatch.setattr(os, name, lambda *a, n=name, c=call: (done.append(n), c(*a)))
        write_atomically(tmp_path / 'a.txt', 'new', durable=True)
        # The last one is for the folder, which holds the name.
        assert done == ['fsync', 'replace', 'fsync']


def test_only_unfinished_files_are_removed(tmp_path):
    for name in ('.a.pth.1.unfinished', '.a.pth.2.unfinished', 'a.pth', '.other'):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['.other', 'a.pth']
