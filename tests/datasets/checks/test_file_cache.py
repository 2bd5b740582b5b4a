"""What is known of a file counts until it changes, whatever becomes of the cache."""

import json
import multiprocessing
import os
import stat

import pytest

from cct_mm.datasets.checks.file_cache import FileCache, Look, Problem, cache_folder, stamp


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / 'cache'
    monkeypatch.setenv('CCT_MM_CACHE', str(folder))
    return folder


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'data' / 'a.txt'
    path.parent.mkdir()
    path.write_text('abc')
    return str(path)


def put(*files, value):
    cache = FileCache('kind')
    cache.put(files, stamp(files), value)
    assert cache.save() is None


def known(*files):
    return FileCache('kind').get(*files)


def lengths(files, **options):
    """The length of each file, and those that were read for it."""
    read = []

    def length(path):
        read.append(path)
        with open(path) as file:
            return len(file.read())

    return Look('kind', 'reading', workers=1, **options).at(files, length), read


class TestValue:
    def test_is_there_for_the_next_process(self, file):
        put(file, value=[1, {'2': 3}])
        assert known(file) == [1, {'2': 3}]

    def test_of_another_kind_is_another(self, file):
        put(file, value=1)
        assert FileCache('other').get(file) is None

    def test_is_that_of_a_relative_path_too(self, file, monkeypatch):
        put(file, value=1)
        monkeypatch.chdir(os.path.dirname(file))
        assert known('a.txt') == 1

    def test_of_a_file_that_was_written_again_is_gone(self, file):
        put(file, value=1)
        os.utime(file, ns=(0, os.stat(file).st_mtime_ns + 1))
        assert known(file) is None

    def test_of_a_file_of_another_size_is_gone(self, file):
        before = os.stat(file)
        put(file, value=1)
        with open(file, 'a') as opened:
            opened.write('d')
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert known(file) is None

    def test_does_not_go_with_a_file_to_another_name(self, file):
        put(file, value=1)
        os.rename(file, f'{file}.txt')
        assert known(f'{file}.txt') is None
        assert known(file) is None

    def test_of_two_files_depends_on_both(self, file, tmp_path):
        other = tmp_path / 'other.txt'
        other.write_text('x')
        put(file, str(other), value=1)
        assert known(file, str(other)) == 1
        assert known(file) is None
        other.write_text('xy')
        assert known(file, str(other)) is None

    def test_of_a_name_that_is_no_utf8_is_kept(self, file):
        path = os.fsdecode(os.fsencode(os.path.dirname(file)) + b'/\xff.txt')
        os.rename(file, path)
        put(path, value=1)
        assert known(path) == 1


class TestCacheThatIsDamaged:
    @pytest.mark.parametrize(
        'damage',
        [
            lambda content: content[: len(content) // 2],
            lambda content: b'',
            lambda content: content.replace(b'77', b'78'),
            lambda content: b'\xff' * 100,
            lambda content: json.dumps([]).encode(),
        ],
        ids=['cut', 'empty', 'digit', 'rubbish', 'other'],
    )
    def test_is_empty_and_written_anew(self, file, cache, damage):
        put(file, value=77)
        (path,) = cache.glob('kind/*')
        path.write_bytes(damage(path.read_bytes()))
        assert known(file) is None
        put(file, value=77)
        assert known(file) == 77


class TestCacheThatCannotBeWritten:
    def test_is_told_and_does_not_end_the_work(self, file, cache, monkeypatch):
        cache.write_text('a file in the place of the folder')
        said = []
        assert lengths([file], say=said.append) == ([3], [file])
        assert len(said) == 1
        for part in ('reading starts anew', 'cache cannot be written', str(cache), 'CCT_MM_CACHE'):
            assert part in said[0]

    @pytest.mark.skipif(os.geteuid() == 0, reason='nothing is read-only for root')
    def test_read_only_folder_is_read(self, file, cache):
        put(file, value=5)
        cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
        assert lengths([file]) == ([5], [])

    def test_without_a_home_there_is_none(self, file, monkeypatch):
        monkeypatch.delenv('CCT_MM_CACHE')
        monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
        assert cache_folder() is None
        said = []
        assert lengths([file], say=said.append) == ([3], [file])
        assert 'there is no home directory' in said[0]

    def test_default_is_in_the_home(self, monkeypatch, tmp_path):
        monkeypatch.delenv('CCT_MM_CACHE')
        monkeypatch.setenv('HOME', str(tmp_path))
        assert cache_folder() == str(tmp_path / '.cache' / 'cct_mm')


def _put_many(number):
    for i in range(20):
        path = os.path.join(os.environ['FOLDER'], f'{number}-{i}')
        with open(path, 'w') as file:
            file.write('x')
        put(path, value=[number, i])


def test_two_processes_that_write_at_once_leave_a_whole_cache(tmp_path, monkeypatch):
    folder = tmp_path / 'data'
    folder.mkdir()
    monkeypatch.setenv('FOLDER', str(folder))
    with multiprocessing.get_context('fork').Pool(2) as pool:
        pool.map(_put_many, range(2), chunksize=1)
    found = {name: known(str(folder / name)) for name in os.listdir(folder)}
    # Neither loses what it added while the other wrote, and nothing is wrong.
    assert found == {f'{number}-{i}': [number, i] for number in range(2) for i in range(20)}


class TestLook:
    def test_reads_each_file_once(self, file, tmp_path):
        other = tmp_path / 'b'
        other.write_text('12')
        assert lengths([file]) == ([3], [file])
        assert lengths([str(other), file]) == ([2, 3], [str(other)])
        assert lengths([str(other), file]) == ([2, 3], [])

    def test_does_not_keep_what_could_not_be_read(self, tmp_path):
        path = str(tmp_path / 'later')
        (problem,), _ = lengths([path])
        assert isinstance(problem, Problem)
        assert 'No such file' in problem
        (tmp_path / 'later').write_text('abcd')
        assert lengths([path]) == ([4], [path])

    def test_keeps_what_was_read_before_it_was_broken_off(self, file, tmp_path):
        def interrupt():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            lengths([file, file], beat=interrupt)
        assert lengths([file]) == ([3], [])

    def test_is_the_same_from_several_processes(self, tmp_path):
        paths = [str(tmp_path / str(i)) for i in range(100)]
        for i, path in enumerate(paths):
            with open(path, 'w') as file:
                file.write('x' * (i % 7))
        found = Look('kind', 'reading', workers=2).at(paths, os.path.getsize)
        assert found == [i % 7 for i in range(100)]
