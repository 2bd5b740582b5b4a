"""What is found, under which names, and how videos are read."""

import cv2
import numpy as np
import pytest
from tiny_predictor import write_image, write_video

from cct_mm.apis.inputs import find_inputs


@pytest.fixture
def trips(tmp_path):
    for name in ('a/1.png', 'a/2.jpg', 'b/1.png', 'b/deep/1.png', 'b/.hidden/3.png', 'b/._1.png'):
        write_image(tmp_path / 'trips' / name)
    (tmp_path / 'trips/notes.txt').write_text('no image')
    return tmp_path / 'trips'


def names(*sources, **options):
    return [found.name for found in find_inputs([str(s) for s in sources], **options)]


class TestFindInputs:
    def test_names_keep_the_folders_below_a_folder(self, trips):
        assert names(trips) == ['a/1', 'a/2', 'b/1', 'b/deep/1']

    def test_of_several_folders_names_keep_what_they_differ_in(self, trips):
        assert names(trips / 'b', trips / 'a') == ['b/1', 'b/deep/1', 'a/1', 'a/2']
        assert names(trips / 'a/1.png', trips / 'b/1.png') == ['a/1', 'b/1']

    def test_of_a_file_is_its_own(self, trips):
        assert names(trips / 'b/deep/1.png') == ['1']

    def test_patterns_give_what_a_shell_would(self, trips):
        assert names(trips / '*/1.png') == names(trips / 'a/1.png', trips / 'b/1.png')
        assert names(trips / '**/1.png') == ['a/1', 'b/1', 'b/deep/1']
        assert names(f'{trips}/[ab]') == names(trips / 'a', trips / 'b')

    def test_a_name_that_looks_like_a_pattern_is_a_file_if_there_is_one(self, tmp_path):
        for name in ('x[1].png', 'x1.png'):
            write_image(tmp_path / name)
        assert names(tmp_path / 'x[1].png') == ['x[1]']

    def test_finds_each_file_once(self, trips, monkeypatch):
        monkeypatch.chdir(trips)
        assert names('a', trips / 'a/1.png', './a/../a/*.png') == ['1', '2']

    def test_files_that_differ_in_their_suffix_alone_keep_it(self, tmp_path):
        for name in ('1.png', '1.JPG', '2.png'):
            write_image(tmp_path / name)
        write_video(tmp_path / '2.mp4')
        assert names(tmp_path) == ['1.JPG', '1.png', '2.mp4', '2']

    def test_leaves_out_the_results_of_earlier_runs(self, trips):
        assert names(trips, outside=trips / 'b') == ['a/1', 'a/2']
        with pytest.raises(ValueError, match='no image or video, expected some that are not in'):
            names(trips, outside=trips)

    @pytest.mark.parametrize(
        ('source', 'sentence'),
        [
            ('none.png', r'none\.png does not exist, expected an image, a video, a folder'),
            ('*.gif', r'\*\.gif does not exist'),
            ('empty', r'empty holds no image or video'),
        ],
    )
    def test_says_what_is_not_there(self, trips, source, sentence):
        (trips / 'empty').mkdir()
        with pytest.raises(ValueError, match=sentence):
            names(trips / 'a', trips / source)


class TestVideo:
    def test_has_the_frames_that_opencv_reads(self, tmp_path):
        write_video(tmp_path / 'drive.mp4', frames=5)
        (video,) = find_inputs([tmp_path / 'drive.mp4'])
        assert (video.name, video.count()) == ('drive.mp4', 5)
        reader = cv2.VideoCapture(str(tmp_path / 'drive.mp4'))
        for number, item in enumerate(video.items()):
            assert item.name == f'drive.mp4/{number:06d}'
            assert (item.image == reader.read()[1]).all()
            assert item.source == f'frame {number} of {tmp_path / "drive.mp4"}'
        assert number == 4

    def test_that_ends_too_early_is_named_after_what_could_be_read(self, tmp_path):
        path = tmp_path / 'drive.avi'
        video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5.0, (64, 48))
        for seed in range(40):
            video.write(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))
        video.release()
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        read = 0
        with pytest.raises(ValueError, match=r'drive\.avi can be read up to frame \d+ of 40'):
            for _ in find_inputs([path])[0].items():
                read += 1
        assert 10 < read < 25

    def test_that_is_none_is_named(self, tmp_path):
        (tmp_path / 'drive.mp4').write_bytes(b'no video')
        (video,) = find_inputs([tmp_path / 'drive.mp4'])
        assert video.count() == 1
        with pytest.raises(ValueError, match=r'drive\.mp4 can be read up to frame 0 of none'):
            next(video.items())
