"""ToyScenesDataset: the classes of a domain, and the scenes that its lists name."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import cct_mm.datasets.transforms  # noqa: F401
from cct_mm.datasets.toy_scenes import DOMAINS, FOREGROUND, ToyScenesDataset
from cct_mm.lab.toy_scenes import render_scene, write_toy_scenes, writing


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """The data with fewer images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, 'SPLIT_SIZES', {'train': 14, 'val': 3, 'test': 2})
        yield write_toy_scenes(tmp_path_factory.mktemp('data'))


class TestToyScenesDataset:
    @pytest.fixture(autouse=True)
    def scope(self):
        with DefaultScope.overwrite_default_scope('mmseg'):
            yield

    def build(self, written, domain, ann_file='n12.txt', **kwargs):
        pipeline = [{'type': 'LoadCheckedImage'}, {'type': 'LoadCheckedAnnotations'}]
        config = {
            'type': 'ToyScenesDataset',
            'domain': domain,
            'pipeline': pipeline,
            'serialize_data': False,
        }
        return DATASETS.build(
            {**config, 'data_root': str(written / domain), 'ann_file': ann_file, **kwargs}
        )

    @pytest.mark.parametrize('domain', DOMAINS)
    def test_metainfo_is_the_domains(self, written, domain):
        dataset = self.build(written, domain)
        assert len(dataset) == 12
        assert dataset.metainfo['classes'] == DOMAINS[domain]['classes']
        assert dataset.metainfo['palette'] == DOMAINS[domain]['palette']
        assert set(FOREGROUND[domain]) < set(dataset.metainfo['classes'])
        assert dataset.get_data_info(0)['dataset_name'] == f'toy_scenes {domain}'

    def test_loads_the_scene_that_the_list_names(self, written):
        sample = self.build(written, 'night', ann_file='test.txt')[1]
        image, label = render_scene('night', 'test', 1)
        np.testing.assert_array_equal(sample['img'][..., ::-1], image)
        np.testing.assert_array_equal(sample['gt_seg_map'], label)

    def test_subset_of_classes(self, written):
        dataset = self.build(
            written, 'night', ann_file='test.txt', metainfo={'classes': ('person', 'sky')}
        )
        label = render_scene('night', 'test', 0)[1]
        expected = np.select([label == 4, label == 0], [0, 1], 255)
        np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
        assert dataset.metainfo['palette'] == [[220, 60, 160], [20, 30, 90]]

    def test_unlabeled_list_has_no_masks(self, written):
        dataset = self.build(written, 'day', ann_file='n12_unlabeled.txt', pipeline=[])
        assert 'seg_map_path' not in dataset.get_data_info(0)

    def test_unknown_domain_is_named(self, written):
        with pytest.raises(ValueError, match="domain 'dusk'.*'day', 'night'"):
            ToyScenesDataset(domain='dusk')

    def test_missing_data_name_the_tool_that_writes_them(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'toy_scenes day: .*make_toy_scenes\.py'):
            self.build(tmp_path, 'day')
