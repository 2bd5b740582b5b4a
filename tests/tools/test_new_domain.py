"""From folders to configs that train: what is written, what is said, what is refused."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fork_server import ForkServer
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS

import cct_mm  # noqa: F401
from cct_mm.datasets import SampleIndex
from cct_mm.datasets.file_lists import read_file_list
from cct_mm.datasets.reading import read_mask
from cct_mm.models.segmentors.batch import Batch

ROOT = Path(__file__).parents[2]
COLORS = np.array([[0, 0, 0], [200, 100, 0], [0, 255, 0]], np.uint8)
CLASSES = ('background', 'leaf', 'fruit')


def load_tool():
    spec = importlib.util.spec_from_file_location('new_domain', ROOT / 'tools/new_domain.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Photos of several sizes with masks of 8, and as many masks in colors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('CCT_MM_CACHE', str(tmp_path / 'cache'))
    rng = np.random.default_rng(0)
    for i in range(12):
        height, width = rng.integers(40, 120, 2)
        files = {f'leaves/photos/{i}.jpg': rng.integers(0, 256, (height, width, 3), np.uint8)}
        if i < 8:
            mask = rng.integers(0, 3, (height, width), np.uint8)
            files[f'leaves/masks/{i}.png'] = mask
            files[f'pots/{i}.jpg'] = files[f'leaves/photos/{i}.jpg']
            files[f'pots/{i}_gt.png'] = COLORS[mask][..., ::-1]
        for name, pixels in files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(name, pixels)
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield tmp_path


def new_domain(*arguments, classes=CLASSES):
    tool.main([*arguments, *(['--classes', *classes] if classes else [])])


def datasets(config, split):
    return DATASETS.build(config[f'{split}_dataloader'].dataset)


def without_weights(config):
    config.model.backbone.init_cfg = None
    return config


class TestWhatIsWritten:
    def test_trains_on_all_files(self, capsys):
        new_domain('leaves', 'leaves')
        config = Config.fromfile('configs/leaves/cct_leaves.py')
        train, val = datasets(config, 'train'), datasets(config, 'val')
        labeled, unlabeled = (source.dataset for source in train.sources)
        assert (len(labeled), len(unlabeled), len(val)) == (6, 4, 2)
        sources = (labeled, unlabeled, val.sources[0].dataset)
        images = {s.get_data_info(i)['img_path'] for s in sources for i in range(len(s))}
        assert images == {str(path.absolute()) for path in Path('leaves/photos').iterdir()}

    def test_is_named_by_the_commands_that_come_next(self, capsys):
        new_domain('leaves', 'leaves')
        commands = capsys.readouterr().out.partition('Next:')[2].split()
        configs = [word for word in commands if word.startswith('configs/')]
        assert configs and all(Path(config).is_file() for config in configs)

    def test_is_named_by_commands_that_exist_here(self, home, capsys, monkeypatch):
        new_domain('leaves', 'leaves')
        assert '\n  python -m cct_mm train configs/leaves/' in capsys.readouterr().out
        monkeypatch.chdir(ROOT)
        new_domain('leaves', f'{home}/leaves', '--out', f'{home}/out')
        assert '\n  python tools/train.py ' in capsys.readouterr().out

    def test_trains_after_its_folder_was_moved(self, tmp_path):
        new_domain('leaves', 'leaves')
        before = Config.fromfile('configs/leaves/cct_leaves.py')
        Path('configs').rename(tmp_path / 'leaves/configs')
        after = Config.fromfile('leaves/configs/leaves/cct_leaves.py')
        assert after.model == before.model and len(datasets(after, 'train').sources) == 2

    def test_crops_of_any_image_have_one_size_with_its_labels(self):
        new_domain('leaves', 'leaves')
        config = Config.fromfile('configs/leaves/cct_leaves.py')
        train = datasets(config, 'train')
        crop = config.leaves_crop
        for source in range(2):
            for i in range(4):
                sample = train[SampleIndex(source, i, i, 0)]
                assert sample['inputs'].shape == (3, crop, crop)
                if source == 0:
                    assert sample['data_samples'].gt_sem_seg.shape == (crop, crop)

    def test_what_is_smaller_than_a_crop_is_padded_and_padding_is_in_no_loss(self):
        for path in Path('leaves').rglob('*.*g'):
            cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:, :9].repeat(2, 0))
        new_domain('leaves', 'leaves')
        config = without_weights(Config.fromfile('configs/leaves/cct_leaves.py'))
        train, crop = datasets(config, 'train'), config.leaves_crop
        samples = [train[SampleIndex(0, i, i, 0)] for i in range(4)]
        pixels = sum(sample['inputs'][0].numel() for sample in samples)
        assert pixels < 4 * crop**2
        data = {key: [sample[key] for sample in samples] for key in samples[0]}
        data = MODELS.build(config.model).data_preprocessor(data, training=True)
        batch = Batch(data['inputs'], data['data_samples'])
        labels = torch.stack([sample.gt_sem_seg.data for sample in batch.samples])
        assert batch.size == (crop, crop) and batch.valid().sum() == pixels
        assert (labels[~batch.valid()] == 255).all() and (labels[batch.valid()] != 255).all()

    def test_validation_is_at_the_own_aspect_ratio_and_size(self):
        new_domain('leaves', 'leaves')
        config = Config.fromfile('configs/leaves/supervised_leaves.py')
        val = datasets(config, 'val')
        for sample in (val[i] for i in range(len(val))):
            height, width = cv2.imread(sample['data_samples'].img_path).shape[:2]
            shown = sample['inputs'].shape[1:]
            assert min(shown) == config.leaves_crop
            assert abs(shown[0] / shown[1] - height / width) < 0.05
            assert sample['data_samples'].gt_sem_seg.shape == (height, width)

    def test_masks_of_colors_are_class_numbers_anew(self):
        new_domain('pots', 'pots', classes=('soil=0,0,0', 'pot=200,100,0', 'plant=#00ff00'))
        lists = Path('configs/pots/lists')
        entries = [e for name in ('train', 'val') for e in read_file_list(lists / f'{name}.txt')]
        assert len(entries) == 8
        for image, mask in entries:
            number = Path(image).stem
            written = read_mask(f'configs/pots/masks/{mask}')
            assert np.array_equal(written, read_mask(f'leaves/masks/{number}.png'))
        config = Config.fromfile('configs/pots/supervised_pots.py')
        assert datasets(config, 'train').metainfo['palette'] == COLORS.tolist()

    def test_gray_masks_get_colors_that_differ_and_black_for_a_background_alone(self):
        for name, classes in dict(some=CLASSES, none=('sky', 'leaf', 'fruit')).items():
            new_domain(name, 'leaves', classes=classes)
            config = Config.fromfile(f'configs/{name}/supervised_{name}.py')
            colors = list(map(tuple, datasets(config, 'train').metainfo['palette']))
            assert len(set(colors)) == 3 and ((0, 0, 0) in colors) == (name == 'some')

    def test_two_values_as_0_and_255_are_two_classes(self):
        for path in Path('leaves/masks').iterdir():
            cv2.imwrite(str(path), (read_mask(path) > 0).astype(np.uint8) * 255)
        new_domain('leaves', 'leaves', classes=('background', 'leaf'))
        train = datasets(Config.fromfile('configs/leaves/supervised_leaves.py'), 'train')
        found = train[SampleIndex(0, 0, 0, 0)]['data_samples'].gt_sem_seg.data.unique()
        assert found.tolist() == [0, 1]

    def test_class_weights_have_mean_1_over_the_labeled_pixels(self):
        new_domain('leaves', 'leaves')
        config = Config.fromfile('configs/leaves/supervised_leaves.py')
        pixels = np.zeros(3)
        for _, mask in read_file_list('configs/leaves/lists/train.txt'):
            pixels += np.bincount(read_mask(f'leaves/{mask}').ravel(), minlength=3)
        weights = np.array(config.leaves.decode_head.loss_decode.class_weight)
        assert weights @ pixels / pixels.sum() == pytest.approx(1, abs=0.01)
        assert np.ptp(weights**2 * pixels) < 0.03 * pixels.mean()

    def test_without_things_the_guided_perturbations_are_left_out(self):
        new_domain('leaves', 'leaves', '--things')
        config = without_weights(Config.fromfile('configs/leaves/cct_leaves.py'))
        kinds = MODELS.build(config.model).domains['leaves'].auxiliary.kinds
        assert kinds == ['F-Noise', 'F-Drop', 'DropOut', 'I-VAT']

    def test_two_domains_are_one_network(self):
        new_domain('leaves', 'leaves')
        colors = ('soil=0,0,0', 'pot=200,100,0', 'plant=#00ff00')
        new_domain('pots', 'pots', '--join', 'configs/leaves/leaves.py', classes=colors)
        config = without_weights(Config.fromfile('configs/pots/cct_leaves-pots.py'))
        assert list(MODELS.build(config.model).domains) == ['leaves', 'pots']
        train = datasets(config, 'train')
        assert [source.name for source in train.sources] == [
            'leaves, labeled source', 'leaves, unlabeled source', 'pots, labeled source',
        ]  # fmt: skip
        assert config.train_dataloader.sampler.unlabeled_per_batch == dict(leaves=4, pots=0)

    def test_model_for_a_gpu(self):
        new_domain('leaves', 'leaves', '--model', 'resnet50-d8')
        config = Config.fromfile('configs/leaves/cct_leaves.py')
        assert config.model.backbone.type == 'ResNetV1c'
        assert sum(p.get('num', 1) for p in config.model.auxiliary.perturbations) == 30


class TestTraining:
    @pytest.mark.slow
    def test_without_validation(self, home):
        new_domain('leaves', 'leaves', '--hold-out', '0')
        options = [
            'train_cfg.max_iters=2', 'train_dataloader.num_workers=0',
            'train_dataloader.persistent_workers=False', 'model.backbone.init_cfg=None',
        ]  # fmt: skip
        with ForkServer(CCT_MM_CACHE=str(home / 'cache')) as server:
            run = server.run(
                home / 'log', ROOT / 'tools/train.py', 'configs/leaves/cct_leaves.py',
                '--cfg-options', *options, directory=home,
            )  # fmt: skip
        assert run.code == 0, run.output[-2000:]
        config = Config.fromfile('configs/leaves/cct_leaves.py')
        assert [step['type'] for step in config.test_pipeline] == [
            'LoadCheckedImage', 'Resize', 'PackSegInputs',
        ]  # fmt: skip
        assert (home / 'work_dirs/cct_leaves/iter_2.pth').is_file()


class TestWhatIsSaid:
    def test_without_classes_the_values_and_what_to_write(self):
        with pytest.raises(ValueError, match=r'8 masks hold 0 \(.*--classes name0=0 name1=1 name2'):
            new_domain('leaves', 'leaves', classes=())
        assert not Path('configs').exists()

    def test_of_no_unlabeled_images(self, capsys):
        for i in range(8, 12):
            Path(f'leaves/photos/{i}.jpg').unlink()
        new_domain('leaves', 'leaves')
        assert 'no config of CCT' in capsys.readouterr().out
        assert not Path('configs/leaves/cct_leaves.py').exists()

    def test_of_files_that_are_left_out(self, capsys):
        Path('leaves/photos/11.jpg').write_bytes(b'x')
        Path('leaves/photos/copy.jpg').write_bytes(Path('leaves/photos/0.jpg').read_bytes())
        cv2.imwrite('leaves/masks/77.png', np.zeros((4, 4), np.uint8))
        cv2.imwrite('leaves/masks/7.png', np.zeros((4, 4), np.uint8))
        new_domain('leaves', 'leaves')
        said = capsys.readouterr().out
        for what in (
            '1 masks without an image', '1 images that cannot be used',
            '1 images whose mask has another size', '1 unlabeled copies of labeled images',
        ):  # fmt: skip
            assert what in said
        unlabeled = read_file_list('configs/leaves/lists/unlabeled.txt')
        assert [Path(image).name for image, _ in unlabeled] == ['10.jpg', '8.jpg', '9.jpg']


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ('arguments', 'says'),
        [
            (['model', 'leaves'], 'domain model'),
            (['my-leaves', 'leaves'], 'my-leaves'),
            (['leaves', 'nowhere'], 'nowhere has no images'),
            (['leaves', 'leaves', '--things', 'tree'], '--things tree'),
            (['leaves', 'leaves', '--join', 'no.py'], '--join no.py'),
            (['leaves', 'leaves', '--join', f'{ROOT}/configs/_base_/loaders.py'], 'NAME_crop'),
        ],
    )
    def test_with_a_sentence(self, arguments, says):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            new_domain(*arguments)
        assert says in str(caught.value)
        assert not Path('configs').exists()

    def test_nothing_is_overwritten(self):
        new_domain('leaves', 'leaves')
        before = Path('configs/leaves/leaves.py').read_text()
        with pytest.raises(FileExistsError, match='configs/leaves is there already'):
            new_domain('leaves', 'leaves', '--hold-out', '0.5')
        assert Path('configs/leaves/leaves.py').read_text() == before
        assert [path.name for path in Path('configs').iterdir()] == ['leaves']

    def test_domains_of_one_name(self):
        new_domain('leaves', 'leaves')
        with pytest.raises(ValueError, match='two domains are called leaves'):
            new_domain('leaves', 'leaves', '--join', 'configs/leaves/leaves.py', '--out', 'other')


def test_help_does_not_wait_for_torch():
    code = (
        'import runpy, sys\n'
        f'sys.argv = [{str(ROOT / "tools/new_domain.py")!r}, "-h"]\n'
        'try: runpy.run_path(sys.argv[0], run_name="__main__")\n'
        'except SystemExit: assert "torch" not in sys.modules\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and '--classes' in done.stdout, done.stderr
