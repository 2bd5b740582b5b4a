import shutil
from pathlib import Path

import pytest

from cct_mm.lab.grids import GridError, Run
from cct_mm.lab.grids.identity import (
    differences,
    identify,
    missing_list_files,
    resolve_config,
)


def identity(seed=0, options=()):
    return identify(Run('cct', 'configs/cct.py', {}, seed, options), '.')


@pytest.mark.parametrize(
    ('path', 'old', 'new', 'named'),
    [
        ('configs/cct.py', 'channels=8', 'channels=9', 'config (model.channels: 8 -> 9)'),
        ('configs/cct.py', 'blocks=[]', 'blocks=[1]', 'config (model.blocks'),
        ('cct_mm/models/net.py', '1', '2', 'code (cct_mm/models/net.py)'),
        ('tools/test.py', '', 'pass', 'code (tools/test.py)'),
        ('data/toy/train.txt', 'a.png', 'b.png', 'data (data/toy/train.txt)'),
        ('data/toy/images/a.png', 'pixels', 'more pixels', 'data (data/toy/train.txt)'),
        ('data/toy/labels/a.png', 'labels', 'more labels', 'data (data/toy/train.txt)'),
    ],
)
def test_what_a_result_depends_on_changes_its_identity_and_is_named(lab, path, old, new, named):
    before = identity()
    lab.change(path, old, new)
    after = identity()
    found = differences(before.hashes, before.parts, after)
    assert len(found) == 1
    assert found[0].startswith(named)
    assert before.hashes['run'] != after.hashes['run']


def test_what_a_result_does_not_depend_on_leaves_its_identity(lab):
    before = identity()
    lab.change('configs/cct.py', 'model =', '# a comment\nmodel   =')
    lab.change('configs/cct.py', 'quality', "work_dir = 'elsewhere'\nquality")
    lab.change('cct_mm/lab/grids/table.py', '1', '2')
    lab.write('cct_mm/models/notes.txt', 'not code')
    lab.write('data/toy/images/c.png', 'in no list')
    assert identity() == before
    assert identity().hashes == before.hashes


def test_another_clone_has_the_same_runs(lab, tmp_path_factory, monkeypatch):
    lists = "ann_file='{{ fileDirname }}/lists/train.txt'"
    lab.change('configs/cct.py', 'quality', f'extra = dict({lists})\nquality')
    lab.write('configs/lists/train.txt', '')
    before = identity()
    assert 'configs/lists/train.txt' in before.data
    clone = tmp_path_factory.mktemp('clone') / 'elsewhere'
    shutil.copytree(Path.cwd(), clone)
    monkeypatch.chdir(clone)
    assert identity() == before


def test_the_seed_is_no_config_but_is_part_of_the_run(lab):
    one, other = identity(seed=0), identity(seed=1)
    assert one.config == other.config
    assert one.hashes['run'] != other.hashes['run']


def test_an_option_counts_like_an_edit_of_the_config(lab):
    by_option = identity(options=('model.channels=9',))
    lab.change('configs/cct.py', 'channels=8', 'channels=9')
    assert by_option.config == identity().config


def test_the_order_of_a_dict_counts(lab):
    before = identity()
    lab.change('configs/cct.py', 'channels=8, blocks=[]', 'blocks=[], channels=8')
    assert differences(before.hashes, before.parts, identity()) == ['config (another order)']


def test_lists_of_two_domains_with_the_same_name_both_count(lab):
    lab.write('data/other/train.txt', 'images/x.png\n')
    second = "b = dict(data_root='data/other', ann_file='train.txt')\nquality"
    lab.change('configs/cct.py', 'quality', second)
    before = identity()
    assert list(before.data) == ['data/other/train.txt', 'data/toy/train.txt']
    lab.write('data/other/train.txt', 'images/y.png\n')
    assert 'data/other/train.txt' in differences(before.hashes, before.parts, identity())[0]


def test_an_image_read_from_another_suffix_counts(lab):
    lab.write('data/toy/train.txt', 'images/a.jpg labels/a.png\n')
    before = identity()
    lab.write('data/toy/images/a.png', 'other pixels')
    assert identity().data != before.data


def test_an_image_folder_without_a_list_counts(lab):
    folder = "u = dict(data_root='data/toy', data_prefix=dict(img_path='images'))\nquality"
    lab.change('configs/cct.py', 'quality', folder)
    before = identity()
    lab.write('data/toy/images/new.png', 'pixels')
    assert differences(before.hashes, before.parts, identity()) == ['data (data/toy/images)']


def test_the_contents_of_the_checkpoint_that_training_starts_from_count(lab):
    lab.change('configs/cct.py', 'quality', "load_from = 'start.pth'\nquality")
    lab.write('start.pth', 'weights')
    before = identity()
    lab.write('start.pth', 'WEIGHTS')
    assert differences(before.hashes, before.parts, identity()) == ['data (start.pth)']


def test_the_contents_of_a_file_of_image_level_labels_count(lab):
    pipeline = "w = dict(pipeline=[dict(type='LoadImageLabels', path='names.csv')])\nquality"
    lab.change('configs/cct.py', 'quality', pipeline)
    lab.write('names.csv', 'a.png,cat\n')
    before = identity()
    lab.write('names.csv', 'a.png,cow\n')
    assert differences(before.hashes, before.parts, identity()) == ['data (names.csv)']


def test_of_the_lab_only_networks_that_configs_train_count(lab):
    lab.write('cct_mm/lab/gain/true_foreground.py', 'a = 1')
    lab.write('cct_mm/lab/gain/figure.py', 'a = 1')
    before = identity()
    lab.write('cct_mm/lab/gain/figure.py', 'a = 2')
    assert identity().code == before.code
    lab.write('cct_mm/lab/gain/true_foreground.py', 'a = 2')
    found = differences(before.hashes, before.parts, identity())
    assert found == ['code (cct_mm/lab/gain/true_foreground.py)']


def test_only_lists_that_a_dataloader_reads_have_to_exist(lab):
    lab.change('configs/cct.py', 'quality', "base = dict(ann_file='overridden.txt')\nquality")
    run = Run('cct', 'configs/cct.py', {}, 0)
    assert missing_list_files(resolve_config(run)) == []
    (lab.root / 'data/toy/train.txt').unlink()
    assert missing_list_files(resolve_config(run)) == ['data/toy/train.txt']


def test_a_broken_config_is_named(lab):
    lab.write('configs/cct.py', "_base_ = ['missing.py']")
    with pytest.raises(GridError, match=r'^configs/cct.py: .*missing.py'):
        identity()
