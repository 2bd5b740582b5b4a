"""Pseudo-labels for a dataset: interrupted, killed, on bad images, always the same files."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import cv2
import numpy as np
import PIL.Image
import pytest
from mmengine.registry import DefaultScope

from cct_mm.datasets.list_dataset import ListDataset
from cct_mm.datasets.transforms import LoadCheckedImage, LoadImageLabels
from cct_mm.processes import processes
from cct_mm.weak.generate import Finisher, ImageError, generate
from cct_mm.weak.images import Images
from cct_mm.weak.pseudo_labels import Recipe, threshold
from cct_mm.weak.writer import Folder, LabelFiles

CLASSES = ('background', 'leaf', 'stem')
COUNT = 12


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / 'images').mkdir()
    lines = []
    for i in range(COUNT):
        cv2.imwrite(
            str(tmp_path / f'images/{i:02}.jpg'), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        )
        lines.append(f'{i:02}.jpg,{";".join(CLASSES[1 : 1 + i % 3])}\n')
    (tmp_path / 'labels.csv').write_text('image,labels\n' + ''.join(lines))
    return tmp_path


def make_dataset(root, **labels):
    return ListDataset(
        data_root=str(root),
        # Without a list, the images of the folder.
        ann_file='list.txt' if (root / 'list.txt').exists() else '',
        data_prefix=dict(img_path='images'),
        labeled=False,
        metainfo=dict(classes=CLASSES, palette=[[0, 0, 0], [0, 9, 0], [9, 0, 0]]),
        serialize_data=False,
        pipeline=[
            dict(type='LoadCheckedImage'),
            dict(type='LoadImageLabels', classes=CLASSES, path=str(root / 'labels.csv'), **labels),
            dict(type='RandomFlip', prob=0.5),
        ],
    )


def brightness(image):
    """Stand for a network: the color planes are the maps."""
    maps = image.pixels[..., : len(image.present)].transpose(2, 0, 1).astype(np.float32)
    return maps / 255


def run(root, out, network=brightness, skip_problems=False, workers=1, progress=lambda s: None):
    dataset = make_dataset(root)
    files = LabelFiles(dataset)
    folder = Folder(root / out, {})
    finish = Finisher(Recipe(crf=None), files, folder, has_background=True)
    with processes(workers) as pool:
        summary = generate(
            Images(dataset, range(len(dataset)), files),
            network,
            finish,
            pool,
            workers,
            skip_problems,
            progress,
        )
    folder.close()
    return summary


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob('*.png')}


class TestFiles:
    def test_are_the_thresholded_maps_of_the_images_as_they_are(self, root):
        summary = run(root, 'out')
        assert (summary.written, summary.there, summary.problems) == (COUNT, 0, {})
        for i in range(COUNT):
            image = cv2.imread(str(root / f'images/{i:02}.jpg'))
            with PIL.Image.open(root / f'out/{i:02}.png') as png:
                labels = np.asarray(png)
            present = tuple(range(1, 1 + i % 3))
            maps = image[..., : len(present)].transpose(2, 0, 1) / np.float32(255)
            assert (labels == threshold(maps, present, 0.05, 0.30)).all()
        assert sum(summary.pixels.values()) == COUNT * 600
        assert set(summary.pixels) == {0, 1, 2, 255}

    def test_do_not_depend_on_the_number_of_processes(self, root):
        run(root, 'one', workers=1)
        run(root, 'three', workers=3)
        assert contents(root / 'one') == contents(root / 'three')
        assert len(contents(root / 'one')) == COUNT

    def test_whose_image_has_other_labels_now_are_made_again_and_no_others(self, root):
        run(root, 'out')
        before = contents(root / 'out')
        (root / 'out/08.png').write_bytes(b'')
        labels = (root / 'labels.csv').read_text()
        (root / 'labels.csv').write_text(labels.replace('04.jpg,leaf', '04.jpg,stem'))
        seen = []
        run(root, 'out', lambda image: seen.append(image.name) or brightness(image))
        assert seen == ['04', '08']
        run(root, 'anew')
        after = contents(root / 'out')
        assert after == contents(root / 'anew')
        assert [name for name in sorted(before) if after[name] != before[name]] == ['04.png']

    def test_that_are_there_are_left_alone(self, root):
        run(root, 'out')
        (root / 'out/03.png').write_bytes(b'by hand')
        (root / 'out/05.png').unlink()
        seen = []
        summary = run(root, 'out', lambda image: seen.append(image.name) or brightness(image))
        assert seen == ['05']
        assert (summary.written, summary.there) == (1, COUNT - 1)
        assert (root / 'out/03.png').read_bytes() == b'by hand'

    def test_problems_of_foreign_loaders_are_told_with_their_kind(self, root):
        class Loader(LoadCheckedImage):
            def transform(self, results):
                if '03' in results['img_path']:
                    raise AssertionError
                return super().transform(results)

        dataset = make_dataset(root)
        dataset.pipeline.transforms[0] = Loader()
        images = Images(dataset, range(COUNT), LabelFiles(dataset))
        path = images[3].path
        assert images[3].problem == f'{path}: AssertionError'
        assert images[4].problem is None


class TestInterruption:
    def test_leaves_whole_files_and_the_next_call_makes_the_rest(self, root):
        run(root, 'undisturbed')

        def stop(summary):
            if summary.written == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(root, 'out', progress=stop)
        assert 4 <= len(contents(root / 'out')) < COUNT
        run(root, 'out')
        assert contents(root / 'out') == contents(root / 'undisturbed')
        assert not [path for path in (root / 'out').iterdir() if path.name.startswith('.')]

    def test_by_kill_leaves_no_process_and_the_same_files_after_a_second_call(self, root):
        run(root, 'undisturbed')
        script = textwrap.dedent(f"""
            import sys, time
            sys.path.insert(0, {os.path.dirname(__file__)!r})
            from pathlib import Path
            from mmengine.registry import DefaultScope
            import test_generate

            def slowly(image):
                time.sleep(0.1)
                return test_generate.brightness(image)

            with DefaultScope.overwrite_default_scope('mmseg'):
                test_generate.run(Path({str(root)!r}), 'out', slowly)
        """)
        process = subprocess.Popen([sys.executable, '-c', script], start_new_session=True)
        deadline = time.monotonic() + 120
        while len(contents(root / 'out')) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert 3 <= len(contents(root / 'out')) < COUNT
        # Its processes follow it: the group is empty.
        while time.monotonic() < deadline:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.1)
        else:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail('processes outlived the one that was killed')
        run(root, 'out')
        assert contents(root / 'out') == contents(root / 'undisturbed')


def test_objects_of_other_classes_are_no_background(root):
    """An image shows something that the domain has no class for: nobody knows where."""
    (root / 'labels.csv').write_text(
        'image,labels\n' + ''.join(f'{i:02}.jpg,leaf;rock\n' for i in range(COUNT))
    )
    dataset = make_dataset(root, file_classes=('background', 'rock', 'leaf', 'stem'))
    image = Images(dataset, range(COUNT), LabelFiles(dataset))[0]
    assert image.present == (1,)
    assert not image.complete
    files, folder = LabelFiles(dataset), Folder(root / 'out', {})
    labels = Finisher(Recipe(crf=None), files, folder, True).labels(image, brightness(image))
    assert set(np.unique(labels)) == {1, 255}


class TestBadImages:
    @pytest.fixture
    def bad(self, root):
        """A truncated JPEG, one without labels, and grey and RGBA images, which are fine."""
        path = root / 'images/04.jpg'
        path.write_bytes(path.read_bytes()[:-200])
        labels = (root / 'labels.csv').read_text()
        (root / 'labels.csv').write_text(labels.replace('07.jpg,leaf', '99.jpg,leaf'))
        cv2.imwrite(str(root / 'images/08.jpg'), np.full((20, 30), 90, np.uint8))
        (root / 'images/09.jpg').unlink()
        cv2.imwrite(str(root / 'images/09.png'), np.full((20, 30, 4), 90, np.uint8))
        return root

    def test_are_named_counted_and_skipped_where_that_is_wished(self, bad):
        summary = run(bad, 'out', skip_problems=True)
        assert summary.written == COUNT - 2
        truncated, unlabeled = (
            summary.problems[str(bad / f'images/{i}.jpg')] for i in ('04', '07')
        )
        assert '04.jpg is truncated' in truncated
        assert 'no image-level labels of' in unlabeled
        names = {f'{i:02}.png' for i in range(COUNT)} - {'04.png', '07.png'}
        assert set(contents(bad / 'out')) == names

    def test_end_the_run_otherwise_and_the_message_says_how_to_skip(self, bad):
        with pytest.raises(ImageError, match=r'(?s)04\.jpg is truncated.*--on-error skip'):
            run(bad, 'out')

    def test_two_with_one_label_file_are_refused_before_anything_is_written(self, root):
        shutil.copy(root / 'images/03.jpg', root / 'images/03.png')
        names = sorted(path.name for path in (root / 'images').iterdir())
        (root / 'list.txt').write_text('\n'.join(names))
        with pytest.raises(ValueError, match=r'03\.jpg .*03\.png .*03\.png, expected'):
            run(root, 'out')
        assert not contents(root / 'out')

    @pytest.mark.parametrize('where', ['network', 'finish'])
    def test_that_are_too_much_for_a_step_are_named_and_skipped_like_others(self, root, where):
        def network(image):
            maps = brightness(image)
            if image.name != '05':
                return maps
            if where == 'network':
                raise RuntimeError('out of memory')
            return maps[:0]

        with pytest.raises(ImageError, match=r'(?s)images/05\.jpg: .*--on-error skip'):
            run(root, 'out', network)
        summary = run(root, 'out', network, skip_problems=True)
        assert list(summary.problems) == [str(root / 'images/05.jpg')]
        assert summary.written + summary.there == COUNT - 1

    def test_with_labels_of_another_list_of_classes_are_refused(self, root):
        dataset = make_dataset(root)
        other = LoadImageLabels(CLASSES[1:], path=str(root / 'labels.csv'))
        dataset.pipeline.transforms[1] = other
        with pytest.raises(ValueError, match=r"\['leaf', 'stem'\], expected"):
            Images(dataset, range(COUNT), LabelFiles(dataset))

    def test_without_classes_are_background(self, root):
        run(root, 'out')
        # Every third image shows none.
        labels = cv2.imread(str(root / 'out/00.png'), cv2.IMREAD_COLOR)
        assert (labels == 0).all()


def test_outdated_labels_of_an_image_that_is_skipped_are_removed(root):
    run(root, 'out')
    before = contents(root / 'out')
    labels = (root / 'labels.csv').read_text().splitlines()
    assert labels[5] == '04.jpg,leaf'
    (root / 'labels.csv').write_text('\n'.join(labels[:5] + labels[6:]) + '\n')
    summary = run(root, 'out', skip_problems=True)
    assert list(summary.problems) == [str(root / 'images/04.jpg')]
    after = contents(root / 'out')
    assert before.items() - after.items() == {('04.png', before['04.png'])}


def test_labels_that_are_there_stay_where_a_run_stops(root):
    run(root, 'out')
    before = contents(root / 'out')
    (root / 'labels.csv').write_text('image,labels\n00.jpg,\n')
    with pytest.raises(ImageError, match='01.jpg'):
        run(root, 'out')
    assert contents(root / 'out') == before


def test_no_place_for_files_ends_the_run_and_says_how_to_go_on(root):
    out = root / 'out'

    def network(image):
        if image.name == '03':
            # At once: a worker may be writing to it.
            (out / '.unfinished-0').rename(root / 'elsewhere')
        return brightness(image)

    with pytest.raises(OSError, match=r'\.png .*same command again'):
        run(root, 'out', network)
    assert len(contents(out)) < COUNT
    run(root, 'out')
    assert len(contents(out)) == COUNT
