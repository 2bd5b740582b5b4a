"""Every grid of the repository is one that runs: its options reach something in its configs."""

from pathlib import Path

import pytest
from mmengine.config import Config

from cct_mm.engine.config_options import merge_options, parse_options
from cct_mm.lab.grids import load_grid
from cct_mm.models.cct.perturbations import PERTURBATIONS

ROOT = Path(__file__).resolve().parents[3]
GRIDS = sorted(path.relative_to(ROOT) for path in ROOT.glob('configs/experiments/**/*.yaml'))
_parsed = {}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def resolve(run):
    """The config of a run; each file is parsed once."""
    if run.config not in _parsed:
        _parsed[run.config] = Config.fromfile(run.config, import_custom_modules=False)
    cfg = _parsed[run.config].copy()
    merge_options(cfg, parse_options(run.cfg_options))
    return cfg


@pytest.mark.parametrize('path', GRIDS, ids=str)
def test_every_run_has_a_config_that_fits_together(path):
    grid = load_grid(path)
    points = {(run.config, run.options): run for run in grid.runs}
    found = {point: resolve(run) for point, run in points.items()}
    # No option is without effect: no two points are the same training.
    texts = [str(cfg.to_dict()) for cfg in found.values()]
    assert len(set(texts)) == len(texts)
    for cfg in found.values():
        loader = cfg.train_dataloader
        domains = loader.dataset.domains
        assert set(domains) == set(cfg.model.domains)
        counts = {
            k.removesuffix('_per_batch'): n for k, n in loader.sampler.items() if '_per_' in k
        }
        assert loader.batch_size == sum(counts.values())
        for sources in domains.values():
            assert {kind for kind, count in counts.items() if count} <= set(sources)
            crops = [t for s in sources.values() for t in s.pipeline if t.type == 'RandomCrop']
            # What crops of small images are padded to, where the config says so.
            if size := cfg.model.data_preprocessor.get('size'):
                assert {tuple(crop.crop_size) for crop in crops} == {tuple(size)}
        for entry in cfg.model.get('auxiliary', {}).get('perturbations', []):
            assert entry['type'] in PERTURBATIONS and entry.get('num', 1) >= 1


def test_perturbations_of_the_figures_are_the_papers():
    """Fig. 5 names perturbations without their arguments, whose defaults are the paper's."""
    written = Config.fromfile('configs/cct/cct_resnet50-d8_camvid-n20.py').model.auxiliary
    for entry in written.perturbations:
        arguments = {key: value for key, value in entry.items() if key not in ('type', 'num')}
        plain, full = (vars(PERTURBATIONS.get(entry.type)(**a)) for a in ({}, arguments))
        assert plain == full
