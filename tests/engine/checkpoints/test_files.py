"""Files are written whole or not at all, and the newest whole checkpoint is found."""

import os
import resource
import signal
import subprocess
import sys

import pytest
import torch

from cct_mm.engine.checkpoints.files import (
    CheckpointError,
    damage,
    keep_others_out,
    newest_checkpoint,
    require_writable,
    write_durably,
)
from cct_mm.files import remove_unfinished

WEIGHTS = {'state_dict': {'w': torch.arange(5000.0)}, 'meta': {'iter': 3}}


@pytest.fixture
def work_dir(tmp_path):
    """Checkpoints after 1, 2 and 10 iterations, so that 10 comes after 2."""
    folder = tmp_path / 'run'
    folder.mkdir()
    for iteration in (1, 2, 10):
        torch.save(WEIGHTS, folder / f'iter_{iteration}.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_10.pth'))
    torch.save(WEIGHTS, folder / 'best_mIoU_iter_50.pth')
    return folder


def empty(path):
    path.write_bytes(b'')


def cut_at_the_end(path):
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_the_middle(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit_of_a_weight(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    # What makes the check needed: PyTorch reads it as if nothing were wrong.
    assert not torch.equal(torch.load(path)['state_dict']['w'], WEIGHTS['state_dict']['w'])


def overwrite_with_zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def another_file(path):
    path.write_text('<html>Not found</html>')


DAMAGES = [
    empty,
    cut_at_the_end,
    cut_in_the_middle,
    flip_a_bit_of_a_weight,
    overwrite_with_zeros,
    another_file,
]


@pytest.mark.parametrize('do', DAMAGES)
def test_damage_is_seen(work_dir, do):
    path = work_dir / 'iter_2.pth'
    assert damage(path) is None
    do(path)
    assert damage(path)


def test_every_flipped_bit_of_the_content_is_seen(work_dir):
    path = work_dir / 'iter_2.pth'
    whole = path.read_bytes()
    expected = torch.load(path)['state_dict']['w']
    for place in range(0, len(whole), 97):
        content = bytearray(whole)
        content[place] ^= 0x10
        path.write_bytes(content)
        # A bit of the padding between two parts means nothing.
        assert damage(path) or torch.equal(torch.load(path)['state_dict']['w'], expected), place


class TestNewestCheckpoint:
    def test_is_what_last_checkpoint_names(self, work_dir):
        (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_2.pth'))
        found = newest_checkpoint(work_dir)
        assert (found.path, found.damaged) == (work_dir / 'iter_2.pth', {})

    def test_is_none_where_there_is_none(self, tmp_path):
        assert newest_checkpoint(tmp_path) is None
        assert newest_checkpoint(tmp_path / 'absent') is None
        torch.save(WEIGHTS, tmp_path / 'best_mIoU_iter_50.pth')
        assert newest_checkpoint(tmp_path) is None

    @pytest.mark.parametrize(
        'pointer', ['/absent/iter_10.pth', 'iter_10.pth', '\\\\host\\run\\iter_10.pth\r\n']
    )
    def test_of_a_copy_is_its_own(self, work_dir, pointer):
        copy = work_dir.rename(work_dir.with_name('copy'))
        (copy / 'last_checkpoint').write_text(pointer)
        assert newest_checkpoint(copy).path == copy / 'iter_10.pth'

    def test_of_a_copy_is_its_own_also_while_the_other_folder_is_there(self, work_dir, tmp_path):
        copy = tmp_path / 'copy'
        copy.mkdir()
        torch.save(WEIGHTS, copy / 'iter_2.pth')
        (copy / 'last_checkpoint').write_text(str(work_dir / 'iter_10.pth'))
        assert newest_checkpoint(copy).path == copy / 'iter_2.pth'

    @pytest.mark.parametrize('pointer', [None, '', '/absent/iter_7.pth', '..', 'a\0b'])
    def test_without_a_valid_pointer_is_the_highest(self, work_dir, pointer):
        if pointer is None:
            (work_dir / 'last_checkpoint').unlink()
        else:
            (work_dir / 'last_checkpoint').write_text(pointer)
        assert newest_checkpoint(work_dir).path == work_dir / 'iter_10.pth'

    @pytest.mark.parametrize('do', DAMAGES)
    def test_falls_back_to_the_one_before_and_names_both(self, work_dir, do):
        do(work_dir / 'iter_10.pth')
        found = newest_checkpoint(work_dir)
        assert found.path == work_dir / 'iter_2.pth'
        assert str(work_dir / 'iter_10.pth') in found.warning
        assert str(work_dir / 'iter_2.pth') in found.warning

    def test_falls_back_to_one_before_rather_than_to_another_runs_of_a_higher_number(
        self, work_dir
    ):
        (work_dir / 'last_checkpoint').write_text('iter_2.pth')
        empty(work_dir / 'iter_2.pth')
        assert newest_checkpoint(work_dir).path == work_dir / 'iter_1.pth'

    def test_where_all_are_damaged_is_refused(self, work_dir):
        for path in work_dir.glob('iter_*.pth'):
            empty(path)
        with pytest.raises(CheckpointError, match=r'run.*iter_10\.pth is empty.*--work-dir'):
            newest_checkpoint(work_dir)

    def test_counts_epochs_too(self, tmp_path):
        for epoch in (9, 10):
            torch.save(WEIGHTS, tmp_path / f'epoch_{epoch}.pth')
        assert newest_checkpoint(tmp_path).path == tmp_path / 'epoch_10.pth'


class TestWriteDurably:
    def test_leaves_the_content_and_nothing_else(self, tmp_path):
        path = tmp_path / 'x.pth'
        for content in (b'old', b'new'):
            write_durably(path, content)
            assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]

    def test_that_the_system_refuses_leaves_the_old_content_and_says_so(self, tmp_path):
        path = tmp_path / 'x.pth'
        write_durably(path, b'old')
        # A limit on the size of files fails in the middle of a write, as a full disk does.
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(CheckpointError, match=r'x\.pth could not be written.*too large'):
                write_durably(path, bytes(1_000_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)
        assert path.read_bytes() == b'old'
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.slow
    def test_killed_in_the_middle_leaves_the_old_content(self, tmp_path):
        path = tmp_path / 'x.pth'
        write_durably(path, b'old')
        code = (
            'import os, signal, sys\n'
            'from cct_mm.engine.checkpoints import files\n'
            'os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n'
            'files.write_durably(sys.argv[1], b"new")\n'
        )
        done = subprocess.run([sys.executable, '-c', code, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert path.read_bytes() == b'old'
        assert len(list(tmp_path.iterdir())) == 2
        remove_unfinished(tmp_path)
        assert list(tmp_path.iterdir()) == [path]

    def test_says_what_may_help(self, tmp_path):
        (tmp_path / 'x.pth').mkdir()
        with pytest.raises(CheckpointError, match=r'x\.pth .*Is a directory.*look at'):
            write_durably(tmp_path / 'x.pth', b'new')


class TestRequireWritable:
    def test_makes_the_folder_and_leaves_it_empty(self, tmp_path):
        require_writable(tmp_path / 'a' / 'b', '--work-dir')
        assert os.listdir(tmp_path / 'a' / 'b') == []

    @pytest.mark.parametrize('name', ['file', 'file/below', '/proc/none'])
    def test_refuses_what_takes_no_files(self, tmp_path, name):
        (tmp_path / 'file').write_text('text')
        with pytest.raises(CheckpointError, match=f'{name}.*--work-dir'):
            require_writable(tmp_path / name, '--work-dir')
        assert (tmp_path / 'file').read_text() == 'text'


class TestKeepOthersOut:
    @pytest.mark.slow
    def test_until_the_process_ends_whatever_it_has_forked(self, tmp_path):
        code = (
            'import os, sys, time\n'
            'from cct_mm.engine.checkpoints.files import keep_others_out\n'
            'keep_others_out(sys.argv[1])\n'
            # As a loader's worker, and a process of that, which outlive it.
            'if not os.fork():\n'
            '    os.fork()\n'
            '    time.sleep(60)\n'
            'print("held", flush=True)\n'
            'time.sleep(60)\n'
        )
        command = [sys.executable, '-c', code, str(tmp_path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                while process.stdout.readline() != 'held\n':
                    assert process.poll() is None
                with pytest.raises(CheckpointError, match='another training.*--work-dir'):
                    keep_others_out(tmp_path)
                process.kill()
                process.wait()
                keep_others_out(tmp_path)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
        assert list(tmp_path.iterdir()) == []
