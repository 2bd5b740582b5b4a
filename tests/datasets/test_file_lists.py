"""Lists of files: what is read from them, and what is said when something is wrong."""

import posixpath
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cct_mm.datasets.file_lists import format_file_list, read_file_list


def write_list(folder, text, name='train.txt'):
    path = folder / name
    path.write_text(text, encoding='utf-8')
    return path


LINES = [
    ('images/a.jpg', 'masks/a.png'),
    ('images/b.png', 'masks/b.png'),
    ('images/sub/c.jpg', 'masks/sub/c.png'),
]


class TestReadFileList:
    def test_keeps_the_order_and_skips_comments_and_empty_lines(self, tmp_path):
        path = write_list(tmp_path, '\ufeff# mine\nb.jpg b.png\n\n  a.jpg   a.png  \n')
        assert read_file_list(path) == [('b.jpg', 'b.png'), ('a.jpg', 'a.png')]

    def test_image_alone_has_no_label(self, tmp_path):
        assert read_file_list(write_list(tmp_path, 'a.jpg\nb.JPEG\n')) == [
            ('a.jpg', None),
            ('b.JPEG', None),
        ]

    def test_unlabeled_source_drops_the_labels(self, tmp_path):
        path = write_list(tmp_path, 'a.jpg a.png\nb.jpg\n')
        assert read_file_list(path, labeled=False) == [('a.jpg', None), ('b.jpg', None)]

    @pytest.mark.parametrize(
        'entries',
        [
            [('a.jpg', 'a.png'), ('b.jpg', 'b.png')],
            [('a.jpg', None)],
            [('my image.jpg', 'my mask.png'), ('b.jpg', 'b.png')],
            [('my image.jpg', None)],
        ],
    )
    def test_format_is_the_inverse(self, tmp_path, entries):
        assert read_file_list(write_list(tmp_path, format_file_list(entries))) == entries

    @pytest.mark.parametrize(
        ('text', 'labeled', 'message'),
        [
            ('', None, r'train\.txt is empty, expected one "image label" or "image"'),
            ('# nothing\n\n', None, r'train\.txt is empty'),
            ('a.jpg a.png b.png\n', None, r'line 1: found "a\.jpg a\.png b\.png", expected'),
            ('a.jpg a.png\nb\n', None, r'line 2: found "b", expected .* paths of image files'),
            ('my image.jpg\n', None, r'line 1: found .* holds blanks, end the image with a tab'),
            ('a.jpg 3\n', None, r'line 1: found "a\.jpg 3"'),
            ('a.jpg\nb.jpg\na.jpg\n', None, r'line 3: a\.jpg is already on line 1'),
            ('a.jpg a.png\n\nb.jpg\n', None, r'line 3: b\.jpg has no label, expected'),
            ('a.jpg\nb.jpg b.png\n', None, r'line 2: b\.jpg has a label but the lines before'),
            ('a.jpg\n', True, r'line 1: a\.jpg has no label.*move the line to an unlabeled list'),
        ],
    )
    def test_errors_name_file_line_and_fix(self, tmp_path, text, labeled, message):
        path = write_list(tmp_path, text)
        with pytest.raises(ValueError, match=message) as error:
            read_file_list(path, labeled)
        assert str(path) in str(error.value)

    def test_missing_list_names_the_tool_that_writes_it(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'n20\.txt does not exist.*make_splits\.py'):
            read_file_list(tmp_path / 'n20.txt')


# What paths of images are made of: letters of any script, blanks, separators, a leading #.
PARTS = st.text(
    st.characters(exclude_characters='\t\r\n\0/', exclude_categories=['Cs']),
    min_size=1,
    max_size=12,
)
PATHS = st.builds(
    lambda parts, suffix: '/'.join(parts) + suffix,
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(['.jpg', '.PNG', '.tif']),
).filter(lambda path: path.strip(' ') == path and posixpath.normpath(path) == path)
LABELED = st.lists(st.tuples(PATHS, PATHS), min_size=1, max_size=5, unique_by=lambda e: e[0])
UNLABELED = st.lists(PATHS, min_size=1, max_size=5, unique=True).map(
    lambda p: [(i, None) for i in p]
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(LABELED, UNLABELED), st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16', 'utf-32']))
def test_a_list_is_read_as_it_was_written_or_is_not_written(entries, encoding):
    try:
        text = format_file_list(entries)
    except ValueError as error:
        assert 'rename it' in str(error)
        assert any(image.lstrip()[:1] in ('#', '\ufeff', '') for image, _ in entries)
        return
    # On Windows a backslash parts folders, so two spellings of one path are one image.
    assume(len({posixpath.normpath(i.replace('\\', '/')) for i, _ in entries}) == len(entries))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'list.txt')
        path.write_bytes(text.encode(encoding))
        assert read_file_list(path) == entries
        path.write_bytes(text.replace('\n', '\r\n').encode(encoding))
        assert read_file_list(path) == entries


@pytest.mark.parametrize('path', ['a\nb.jpg', 'a\tb.jpg', ' a.jpg', '#a.jpg', 'a', 'a.txt', ''])
def test_a_path_that_a_list_cannot_hold_is_not_written(path):
    with pytest.raises(ValueError, match=re.escape(repr(path))):
        format_file_list([(path, None)])


class TestEncodings:
    TEXT = 'bilder/größe.jpg masken/größe.png\r\n'
    ENTRIES = [('bilder/größe.jpg', 'masken/größe.png')]

    @pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
    def test_that_say_what_they_are_are_read(self, tmp_path, encoding):
        (tmp_path / 'l.txt').write_bytes(self.TEXT.encode(encoding))
        assert read_file_list(tmp_path / 'l.txt') == self.ENTRIES

    @pytest.mark.parametrize('encoding', ['latin-1', 'cp1252', 'cp437'])
    def test_others_are_refused_with_the_byte_and_how_to_convert(self, tmp_path, encoding):
        content = ('a.jpg a.png\n' + self.TEXT).encode(encoding)
        (tmp_path / 'l.txt').write_bytes(content)
        byte = content[21]
        with pytest.raises(
            ValueError, match=rf'l\.txt, line 2: byte 21 is {byte:#04x}, .* iconv .* l\.txt'
        ):
            read_file_list(tmp_path / 'l.txt')

    @pytest.mark.parametrize('content', ['a.jpg\n'.encode('utf-16-le'), b'a.jpg\0\n'])
    def test_nul_characters_are_refused(self, tmp_path, content):
        (tmp_path / 'l.txt').write_bytes(content)
        with pytest.raises(ValueError, match=r'l\.txt, line 1: it holds a NUL character'):
            read_file_list(tmp_path / 'l.txt')
